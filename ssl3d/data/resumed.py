"""The split of a run that goes on: as it was, whatever has become of its files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ssl3d.data.data_error import DataError
from ssl3d.data.listing import ListedSample, Listing
from ssl3d.data.places import Places, with_other_channels
from ssl3d.data.source import Source

SHOWN = 5
"""Files that a message names of each kind of change."""


@dataclass(frozen=True)
class Earlier:
    """What is known of the files of a run that goes on.

    Attributes:
        listing: its files.
        moves: (old folder, new folder) of data that moved.
        accept_changes: True goes on with other files, False refuses them.
    """

    listing: Listing
    moves: Collection[tuple[str, str]] = ()
    accept_changes: bool = False


@dataclass(frozen=True)
class Fate:
    """What has become of a sample.

    Attributes:
        held_out: its side: True held out, False trained on.
        before: how it was listed; None where it is new.
        now: how it is listed from now on.
        source: its files; None where they are missing.
    """

    held_out: bool
    before: ListedSample | None
    now: ListedSample
    source: Source | None

    def changes(self) -> Iterator[tuple[str, str]]:
        """(kind, what happened) where the sample is not as it was.

        A copy in another place has times of its own: there only sizes are compared.
        """
        was, now = self.before, self.now
        if was is None:
            yield "added", now.paths[0]
        elif now.missing and not was.missing:
            there = all(Path(path).exists() for path in was.paths)
            yield ("not usable now" if there else "missing"), was.paths[0]
        elif was.missing and not now.missing:
            yield "back", now.paths[0]
        if was is None or now.missing:
            return
        pairs = list(zip(was.files, now.files, strict=False))
        if len(was.files) != len(now.files):
            yield "changed", f"{now.paths[0]} has {_channels(now)}, had {_channels(was)}"
            same = {file.path: file for file in now.files}
            pairs = [(old, same[old.path]) for old in was.files if old.path in same]
        if was.valid is not None and now.valid is not None:
            pairs.append((was.valid, now.valid))
        elif was.valid != now.valid:
            yield "changed", f"{now.paths[0]} has {_masks(now)}, had {_masks(was)}"
        for old, new in pairs:
            if old.size != new.size:
                yield "changed", f"{new.path} has {new.size} bytes, had {old.size}"
            elif Path(old.path).name != Path(new.path).name:
                yield "renamed", f"{old.path} to {new.path}"
            elif old.path == new.path and old.modified != new.modified:
                yield "changed", f"{new.path} was written since"
        for what in ("modality", "weight"):
            had, has = getattr(was, what), getattr(now, what)
            if had is not None and had != has:
                yield "changed", f"{now.paths[0]} has the {what} {has!r}, had {had!r}"
        if was.group != now.group:
            yield "changed", f"{now.paths[0]} is of group {now.group!r}, was of {was.group!r}"


class ResumedSplit:
    """The files of a run that goes on.

    Args:
        folder: where relative paths of the spec start from.
        fates: of all samples that there ever were, in order.
    """

    def __init__(self, folder: str, fates: Sequence[Fate]) -> None:
        self._folder = folder
        self._fates = fates

    def side(self, *, held_out: bool) -> list[Source]:
        """Samples of one side that are there, in the order of before."""
        side = [fate for fate in self._fates if fate.held_out == held_out]
        return [fate.source for fate in side if fate.source is not None]

    @property
    def listing(self) -> Listing:
        """For the run's folder, with the samples that left it."""
        sides = ([f.now for f in self._fates if f.held_out == side] for side in (False, True))
        training, held_out = map(tuple, sides)
        return Listing(self._folder, training, held_out)

    @property
    def moved(self) -> list[str]:
        """Samples that are the same in another place."""
        pairs = [(fate.before, fate.now) for fate in self._fates if fate.before is not None]
        return [
            f"{a.paths[0]} to {b.paths[0]}"
            for a, b in pairs
            if a.paths != b.paths and len(a.paths) == len(b.paths)
        ]

    @cached_property
    def changes(self) -> str:
        """What is not as it was, one a line, cut to a readable length; empty where all is."""
        found: dict[str, list[str]] = {}
        for fate in self._fates:
            side = "held out" if fate.held_out else "training"
            for kind, text in fate.changes():
                found.setdefault(f"{kind} ({side})", []).append(text)
        lines = []
        for kind, texts in found.items():
            lines += [f"  {kind}: {text}" for text in texts[:SHOWN]]
            if len(texts) > SHOWN:
                lines.append(f"  {kind}: {len(texts) - SHOWN} more")
        return "\n".join(lines)


def _channels(sample: ListedSample) -> str:
    count = len(sample.files)
    return "1 channel" if count == 1 else f"{count} channels"


def _masks(sample: ListedSample) -> str:
    return "no mask of valid voxels" if sample.valid is None else f"the mask {sample.valid.path}"


def resumed_split(
    sources: Sequence[Source], *, now: Sequence[ListedSample], earlier: Earlier
) -> ResumedSplit:
    """Split samples as a run split them before.

    What stays keeps its side. What is new is held out where its group is, and else trained on. What
    is missing leaves, and keeps its side for the case that it comes back.

    Args:
        sources: the samples that are there.
        now: how they are listed, in the same order.
        earlier: what was there before.

    Raises:
        DataError: there are changes and they are not accepted, a group is on both sides, or nothing
            is left to train on.
    """
    before, fates = earlier.listing, list[Fate]()
    here = {sample.paths: (sample, source) for sample, source in zip(now, sources, strict=True)}
    places = Places(before, now=now, moves=earlier.moves)
    found = with_other_channels(list(map(places.of, before.samples)), now=list(here))
    for held_out, samples in ((False, before.training), (True, before.held_out)):
        for old in samples:
            paths = places.of(old)
            new, source = here.pop(found.get(paths, paths), (replace(old, missing=True), None))
            fates.append(Fate(held_out, old, new, source))
    groups = {fate.now.group for fate in fates if fate.held_out} - {None}
    fates += [Fate(new.group in groups, None, new, source) for new, source in here.values()]
    split = ResumedSplit(before.folder, fates)
    _check(split, accept_changes=earlier.accept_changes)
    return split


def _check(split: ResumedSplit, *, accept_changes: bool) -> None:
    sides = split.listing.training, split.listing.held_out
    trained, held_out = ({sample.group for sample in side} - {None} for side in sides)
    both = sorted(map(str, trained & held_out))
    if both:
        raise DataError(
            f"data: the groups of this run's files have changed: {len(both)} of them, such as "
            f"{both[0]!r}, are trained on and held out. Set them back, or start a new run"
        )
    if split.changes and not accept_changes:
        raise DataError(
            f"data: the files are not those that this run was begun with:\n{split.changes}\nPut "
            "them back as they were, set data.volumes (data.channels, data.manifest) to their new "
            "place if they moved, or accept the changes (--accept-changed-data, "
            "accept_changed_data=True): what stays keeps its side, what is new is held out where "
            "its group is and else trained "
            "on, what is missing leaves"
        )
    if not split.side(held_out=False):
        raise DataError(f"data: no file is left to train on:\n{split.changes}")
