"""How intensities should be normalised, by what headers, manifests and values say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ssl3d.data.spec import DataSpec
from ssl3d.tasks.inspect.facts import PERCENTILES, Facts
from ssl3d.tasks.inspect.suggestion import Choice

WINDOW: dict[str, Any] = {"name": "ct_window", "lower": -1000, "upper": 1000}


def intensities(images: Sequence[Facts], *, given: DataSpec) -> Iterator[Choice]:
    """`normalise`, and a window for CT alone where others are there too and CT is known by name."""
    own = set(given.normalise_by_modality or ())
    count = sum(one.modality == "CT" for one in images)
    if not own and count and normalise(images).value != WINDOW:
        own = {"CT"}
        yield Choice(
            "normalise_by_modality",
            {"CT": WINDOW},
            f"{count} of {len(images)} images are said to be CT: a window of HU, from air to bone, "
            "for those. The others go by normalise",
        )
    yield normalise([one for one in images if one.modality not in own] or images)


def normalise(images: Sequence[Facts]) -> Choice:
    """A window of CT numbers where all images are CT, else percentiles of each volume."""
    named = {one.modality for one in images if one.modality}
    like_ct = [one for one in images if one.modality == "CT" or (not one.modality and _in_hu(one))]
    if len(like_ct) == len(images):
        by = "headers say CT" if named else ""
        if any(not one.modality for one in images):
            by += f"{' or ' if by else ''}values look like HU: air is near -1000"
        return Choice("normalise", WINDOW, f"{by}. From air to bone; narrow it for soft tissue")
    reason = "intensities have no unit that all scanners share, so each volume's own percentiles"
    if "CT" in named or 2 * len(like_ct) > len(images):
        reason = (
            f"{len(like_ct)} of {len(images)} images are CT or look like it and the others do "
            "not: a window of HU would be wrong for those, so each volume's own percentiles"
        )
    return Choice("normalise", "percentile", reason)


def _in_hu(one: Facts) -> bool:
    """True where there is air, or what scanners write around it, and little as dense as metal."""
    low, high = (one.percentiles[PERCENTILES.index(share)] for share in (0.5, 99.5))
    return (-1100 <= low <= -850 or -3100 <= low <= -1900) and 0 < high < 4000
