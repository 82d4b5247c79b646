"""Cases that pre-training has read: their numbers say less than those of others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ssl3d.data.labelled.case import Case
from ssl3d.data.listing import ListedFile, Listing
from ssl3d.data.scan import files_of


@dataclass(frozen=True)
class Seen:
    """What pre-training knew of some cases, by name.

    Attributes:
        trained: it trained on a file of the same content.
        held_out: it only measured on one.
        unknown: a file of the same size is gone or cannot be read, so nobody knows.
    """

    trained: tuple[str, ...]
    held_out: tuple[str, ...]
    unknown: tuple[str, ...]

    def lines(self, what: str) -> list[str]:
        """A line for each that is not empty; `what` says what the cases are for."""
        words = (
            (self.trained, "pre-training has trained on"),
            (self.held_out, "pre-training has measured on (held out)"),
            (self.unknown, "pre-training may have read, for a file of the same size is gone"),
        )
        return [
            f"{len(names)} {what} that {text}, by content: {', '.join(names[:3])}"
            + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            for names, text in words
            if names
        ]


def seen_in_pretraining(cases: Sequence[Case], listing: Listing) -> Seen:
    """Compare the images of cases with the files of a run, by content.

    Only files of one size are read and hashed. The same image in another form, such as compressed
    anew, has another content and is not found.

    Args:
        cases: such as those that are tested on.
        listing: the `data.json` of the run.
    """
    trained, held_out = (
        _by_size([file for sample in side for file in sample.files])
        for side in (listing.training, listing.held_out)
    )
    content = cache(_content)
    found: dict[str, list[str]] = {"trained": [], "held_out": [], "unknown": []}
    for case in cases:
        sizes = [(path, _size(path)) for path in case.image.files]
        unknown = False
        for name, files in (("trained", trained), ("held_out", held_out)):
            pairs = [(path, one.path) for path, size in sizes for one in files.get(size, ())]
            digests = [(content(str(path)), content(other)) for path, other in pairs]
            if any(own is not None and own == other for own, other in digests):
                found[name].append(case.name)
                break
            unknown |= any(other is None for _, other in digests)
        else:
            if unknown:
                found["unknown"].append(case.name)
    return Seen(**{name: tuple(names) for name, names in found.items()})


def _by_size(files: Sequence[ListedFile]) -> dict[int, list[ListedFile]]:
    found: dict[int, list[ListedFile]] = {}
    for file in files:
        found.setdefault(file.size, []).append(file)
    return found


def _size(path: Path) -> int:
    """As `Listing` counts it."""
    return sum(part.stat().st_size for part in files_of(path))


def _content(path: str) -> bytes | None:
    """Hash of a file and of those that hold its voxels; None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        for part in files_of(Path(path)):
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except (OSError, ValueError):
        return None
    return digest.digest()
