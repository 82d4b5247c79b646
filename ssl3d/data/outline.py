"""What a run would read, by the headers of its files alone: how many, how large, which split."""

from __future__ import annotations

from dataclasses import dataclass

from ssl3d.data.sampling import seen
from ssl3d.data.sizes import Grid
from ssl3d.data.spec import DataSpec
from ssl3d.data.volumes import RunVolumes


@dataclass(frozen=True)
class Outline:
    """The data of a run before it is read.

    Attributes:
        training: samples to train on.
        held_out: samples to measure on.
        groups: groups that stay on one side of the split, over both sides.
        bad: {sample: problem} of those that are left out by their header.
        lacking: usable samples that lack a channel.
        grids: of the first file of each usable sample.
        seen: share of the crops that are of each group, by what groups are of, such as "group";
            without those that nothing is known of.
    """

    training: int
    held_out: int
    groups: int
    bad: dict[str, str]
    lacking: int
    grids: tuple[Grid, ...]
    seen: dict[str, dict[str, float]]


def outline(spec: DataSpec) -> Outline:
    """Find, judge and split the files as a run does; reads headers only.

    Raises:
        DataError: the run could not start; says why.
    """
    data = RunVolumes(spec)
    data.find()
    names = {
        "modality": [source.modality for source in data.train_files],
        "group": data.train_groups,
    }
    usable = [*data.train_files, *data.held_out_files]
    return Outline(
        training=len(data.train_files),
        held_out=len(data.held_out_files),
        groups=len({sample.group or sample.paths for sample in data.listing.samples}),
        bad=data.bad_files(),
        lacking=sum(bool(source.lacking) for source in usable),
        grids=tuple(map(data.grid, usable)),
        seen={kind: seen(data.shares, names=own) for kind, own in names.items() if any(own)},
    )
