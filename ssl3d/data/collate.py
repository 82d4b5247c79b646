"""Views of samples, joined to the batch that a step is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d.kinds.batch import Batch, ViewBatch
from ssl3d.kinds.level import Level
from ssl3d.kinds.view import View
from ssl3d.sparse import CellGrid, HiddenLevels


@dataclass(frozen=True, eq=False)
class Sample:
    """The views of one sample.

    Attributes:
        views: of each level.
        number: of the sample.
        source: where it was cut from.
        present: (C,) bool, channels that it has; None: all.
        extra: further tensors by name, such as labels; stacked.
    """

    views: tuple[tuple[View, ...], ...]
    number: int
    source: str
    present: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)


def collate(samples: Sequence[Sample], *, levels: Sequence[Level], cell: Triple) -> Batch:
    """Join the views of each level, sample by sample.

    Args:
        samples: of one micro-batch and rank.
        levels: what `Views.levels` says.
        cell: voxels per cell.
    """
    volumes: dict[tuple[tuple[int, int], ...], tuple[Tensor, Tensor | None]] = {}
    views = []
    for number, level in enumerate(levels):
        rows = [view for sample in samples for view in sample.views[number]]
        assert len(rows) == len(samples) * level.count, f"level {number} has {len(rows)} views"
        own = tuple((id(view.volume), id(view.valid)) for view in rows)  # levels may share them
        if own not in volumes:
            valid = torch.stack([view.valid for view in rows])
            volumes[own] = (
                torch.stack([view.volume for view in rows]),
                None if bool(valid.all()) else valid,
            )
        before = levels[number - 1].count if number else 0
        joined = _joined(rows, voxels=volumes[own], level=level, before=before, cell=cell)
        joined.present = _present(samples, count=level.count, like=joined.volume)
        views.append(joined)
    return Batch(
        tuple(views),
        samples=tuple(sample.number for sample in samples),
        sources=tuple(sample.source for sample in samples),
        extra={
            name: torch.stack([sample.extra[name] for sample in samples])
            for name in samples[0].extra
        },
    )


def _present(samples: Sequence[Sample], *, count: int, like: Tensor) -> Tensor | None:
    """(R, C) bool: channels that each row has; None where all have all."""
    if all(sample.present is None or bool(sample.present.all()) for sample in samples):
        return None
    every = torch.ones(like.shape[1], dtype=torch.bool)
    rows = torch.stack([every if s.present is None else s.present for s in samples])
    return rows.repeat_interleave(count, 0)


def _joined(
    rows: Sequence[View],
    *,
    voxels: tuple[Tensor, Tensor | None],
    level: Level,
    before: int,
    cell: Triple,
) -> ViewBatch:
    """The views of one level; `before` is how many each sample has in the level before it."""
    hidden = tuple(map(torch.stack, zip(*(view.hidden for view in rows), strict=True)))
    parents = [
        -1 if view.parent is None else i // level.count * before + view.parent
        for i, view in enumerate(rows)
    ]
    boxes = [view.parent_box or ((0, 0, 0), (0, 0, 0)) for view in rows]
    # A level whose views have places has them in every batch, also where none is hidden.
    inside = level.place is not None or max(parents) >= 0
    return ViewBatch(
        voxels[0],
        valid=voxels[1],
        cells=CellGrid(torch.stack([view.visible for view in rows]), cell=cell).prepared(),
        hidden=HiddenLevels(hidden, weights=level.hidden),
        hidden_positions=tuple(one.flatten().nonzero().flatten() for one in hidden),
        level=level,
        parent=torch.tensor(parents) if inside else None,
        parent_box=torch.tensor(boxes) if inside else None,
    )
