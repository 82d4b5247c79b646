"""Which label map may belong to which image, by their names and grids: a guess, and said as one."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Sequence
from pathlib import Path

from ssl3d.data.bids import BidsName, bids_name
from ssl3d.data.channel import check_same_grid, open_channel
from ssl3d.data.data_error import BadVolume
from ssl3d.data.volume_path import stem

_WORD = re.compile(
    r"[-_. ]?(segmentations?|segs?|labels?|masks?|annotations?|annot|contours?|ground.?truth|gt|"
    r"roi|lbl)$"
)
# As nnU-Net names the channels of a case; its label map has the name without.
_CHANNEL = re.compile(r"_[0-9]{4}$")
# What `space-` says of a map that was not moved to a template.
_OWN_SPACE = ("orig", "individual", "native", "scanner")


class LabelGuesses:
    """Guesses among some label maps.

    Args:
        maps: all that there are.
    """

    def __init__(self, maps: Sequence[Path]) -> None:
        self._by_key: dict[Hashable, list[Path]] = {}
        for one in maps:
            name = stem(one).lower()
            for key in {name, _WORD.sub("", name), _visit(bids_name(one))}:
                self._by_key.setdefault(key, []).append(one)

    def of(self, image: Path) -> list[Path]:
        """Those that are called as an image is and lie on its grid, the nearest ones to it.

        Names agree where the map's is the image's, or that of its case, with or without a word such
        as seg; in BIDS where the map has every entity of the image.

        Raises:
            BadVolume: the header of the image cannot be read.
        """
        name, own = stem(image).lower(), bids_name(image)
        keys: set[Hashable] = {name, _CHANNEL.sub("", name)}
        found = {one for key in keys for one in self._by_key.get(key, ())}
        if own is not None:
            found |= {one for one in self._by_key.get(_visit(own), ()) if _of_entities(one, own)}
        alike = [one for one in sorted(found) if _same_grid(one, image)]
        near = [len(os.path.commonpath([one, image])) for one in alike]
        return [one for one, depth in zip(alike, near, strict=True) if depth == max(near)]


def _visit(name: BidsName | None) -> Hashable:
    return name and (name.root, name.of("sub"), name.of("ses"))


def _of_entities(one: Path, own: BidsName) -> bool:
    label = bids_name(one)
    assert label is not None
    space = label.entities.get("space", own.suffix)
    brain = label.of("desc") == "desc-brain"  # where the brain is, not what is in it
    alike = own.entities.items() <= label.entities.items()
    return alike and not brain and (space == own.suffix or space in _OWN_SPACE)


def _same_grid(one: Path, image: Path) -> bool:
    first = open_channel(image)
    try:
        check_same_grid(open_channel(one), first)
    except BadVolume:
        return False
    return True
