"""Which label map may belong to which image, by their names and grids: a guess, and said as one."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from ssl3d.data.bids import BidsName, bids_name
from ssl3d.data.channel import check_same_grid, open_channel
from ssl3d.data.data_error import BadVolume
from ssl3d.data.notes import Notes
from ssl3d.data.volume_path import stem

_WORD = re.compile(
    r"[-_. ]?(segmentations?|segs?|labels?|masks?|annotations?|annot|contours?|ground.?truth|gt|"
    r"roi|lbl)$"
)
# As nnU-Net names the channels of a case; its label map has the name without.
_CHANNEL = re.compile(r"_[0-9]{4}$")
# What `space-` says of a map that was not moved to a template.
_OWN_SPACE = ("orig", "individual", "native", "scanner")


def guess_labels(
    images: Iterable[Path], maps: Sequence[Path], *, notes: Notes
) -> dict[Path, Path | None]:
    """Each image and the label map that it may have, where there is one.

    A map belongs to the images of one folder, such as the channels of a case: where several folders
    have an image that is called as it, to the nearest. What is not written is noted.

    Raises:
        BadVolume: the header of an image cannot be read.
    """
    known = _Names(maps)
    found = {image: known.of(image) for image in images}
    claims: dict[Path, list[Path]] = {one: [] for one in maps}
    for image, own in found.items():
        for one in own:
            claims[one].append(image)
    owners = {one: _owners(one, images=own, notes=notes) for one, own in claims.items()}
    labels: dict[Path, Path | None] = {}
    for image, own in found.items():
        left = [one for one in own if image in owners[one]]
        if len(left) > 1:
            notes.add(image, "may have several label maps: none is written, choose one")
        labels[image] = left[0] if len(left) == 1 else None
    return labels


def _owners(one: Path, *, images: Sequence[Path], notes: Notes) -> list[Path]:
    """Those of the images that a map goes to."""
    if not images:
        notes.add(one, "is left out: it is a label map, of no image that is there by its name")
    if len({image.parent for image in images}) < 2:
        return list(images)
    nearest = _nearest(images, to=one)
    if len({image.parent for image in nearest}) < 2:
        notes.add(one, "may be of images in several folders: it is written for the nearest alone")
        return nearest
    notes.add(one, "may be of images in several folders: it is written for none, choose one")
    return []


def _nearest(paths: Sequence[Path], *, to: Path) -> list[Path]:
    """Those that have most of their folders in common with another path."""
    near = [len(os.path.commonpath([path, to])) for path in paths]
    return [path for path, depth in zip(paths, near, strict=True) if depth == max(near)]


class _Names:
    """Label maps by what they are called.

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
        return _nearest([one for one in sorted(found) if _same_grid(one, image)], to=image)


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
