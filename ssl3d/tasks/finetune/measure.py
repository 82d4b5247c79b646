"""Numbers of a fine-tuned model on labelled cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ssl3d.data.labelled.batch import LabelledBatch
from ssl3d.data.labelled.batches import LabelledBatches
from ssl3d.geometry import Triple
from ssl3d.kinds.task import Row
from ssl3d.run.ranks import of_all_ranks
from ssl3d.tasks.finetune.averaged import NotFinite, averaged_cases
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.sliding import predicted_slabs
from ssl3d.tasks.finetune.window_spec import WindowSpec

Side = Literal["choosing", "testing"]


@dataclass(frozen=True)
class Measured:
    """What was found on the cases of a side.

    Attributes:
        rows: case to its numbers.
        groups: of each case, in the same order.
        summary: numbers over the cases.
    """

    rows: Mapping[str, Row]
    groups: Sequence[str]
    summary: Row


def measure(
    model: FinetuneModel,
    *,
    batches: LabelledBatches,
    side: Side,
    patch: Triple,
    windows: WindowSpec,
    rank: int = 0,
    world: int = 1,
) -> Measured:
    """Predict the cases of a side as whole volumes, or by their crops, and compare.

    Each rank takes a part of the cases, and all get the same; one alone may take them all.

    Args:
        model: in evaluation mode.
        batches: of the run.
        side: which cases.
        patch: size of a window.
        windows: how they are predicted.
        rank: this one.
        world: number of ranks that call it.

    Raises:
        NotFinite: the model says NaN of a case.
    """
    own: dict[str, Row | NotFinite] = {}
    for batch in batches.fixed(side, whole=model.decoder is not None, rank=rank, world=world):
        try:
            own[batch.sources[0]] = _row(model, batch, patch=patch, windows=windows)
        except NotFinite as error:  # all ranks end by it
            own[batch.sources[0]] = error
    every: dict[str, Row] = {}
    for part in of_all_ranks(own) if world > 1 else [own]:
        for name, row in part.items():
            if isinstance(row, NotFinite):
                raise NotFinite(f"{name}: {row}")
            every[name] = row
    cases = getattr(batches.volumes.sides, side)
    rows = {case.name: every[case.name] for case in cases}
    return Measured(rows, [case.group for case in cases], model.task.summary(list(rows.values())))


def _row(model: FinetuneModel, batch: LabelledBatch, *, patch: Triple, windows: WindowSpec) -> Row:
    """The numbers of a case."""
    truth: Tensor
    if model.decoder is not None:
        assert batch.labels is not None
        truth = batch.labels[0].long()
        decided = decided_map(
            model, batch.volume[0], valid=batch.valid, patch=patch, windows=windows
        )
    else:
        assert batch.targets is not None
        truth = batch.targets[0]
        # `windows.batch` crops at a time: tiles of a large volume do not fit a GPU at once.
        found = averaged_cases(
            [model], batch.volume, windows=windows, valid=batch.valid, counts=batch.counts
        )
        decided = model.task.decided(found[0]).cpu()
    return model.task.row(decided, truth=truth, spacing=batch.spacings[0])


def decided_map(
    model: FinetuneModel,
    volume: Tensor,
    *,
    valid: Tensor | None,
    patch: Triple,
    windows: WindowSpec,
) -> Tensor:
    """The map (D, H, W) that a model decides for a prepared volume (C, D, H, W), on the CPU."""
    seen = None if valid is None else valid[0]
    slabs = predicted_slabs([model], volume, patch=patch, windows=windows, valid=seen)
    return torch.cat([model.task.decided(slab.float()).cpu() for _, slab in slabs])
