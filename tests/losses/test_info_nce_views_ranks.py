"""`info_nce` between views over two ranks is one process with the whole batch."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.distributed as dist
from test_info_nce_views import COUNTS, build, step_of
from torch import Tensor

from ssl3d.kinds.batch import Batch
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.kinds.output import StepOutput, ViewOutput
from ssl3d.sparse import CellGrid, HiddenLevels


def part(step: StepOutput, sample: int) -> StepOutput:
    """One sample of a step, as its rank has it."""
    views = []
    for number, view in enumerate(step.views):
        rows = slice(sample * COUNTS[number], (sample + 1) * COUNTS[number])
        batch = copy.copy(view.batch)
        batch.volume = batch.volume[rows]
        batch.valid = None if batch.valid is None else batch.valid[rows]
        batch.cells = CellGrid(batch.cells.visible[rows], cell=batch.cells.cell)
        batch.hidden = HiddenLevels((batch.hidden.levels[0][rows],))
        if batch.parent is not None and batch.parent_box is not None:
            before = sample * COUNTS[number - 1]
            own = batch.parent[rows]
            batch.parent = torch.where(own < 0, own, own - before)
            batch.parent_box = batch.parent_box[rows]
        features = view.features.detach()[rows].requires_grad_()
        views.append(ViewOutput(batch, (), view.target, decoded=DecoderOutput(features, features)))
    batch = Batch(tuple(v.batch for v in views), samples=(sample,), sources=("a",))
    return StepOutput(batch, tuple(views))


def values(step: StepOutput, *, negatives: str, training: bool) -> Tensor:
    """The numbers of a step, and the gradients of the heads."""
    loss = build(negatives=negatives).train(training)
    found = loss(step, generator=torch.Generator())
    found["loss"].backward()
    gradients = [p.grad.flatten() for p in loss.parameters() if p.grad is not None]
    assert len(gradients) == len(list(loss.parameters()))
    return torch.cat([torch.stack([v.detach() for v in found.values()]), *gradients])


def whole() -> StepOutput:
    """Two samples in both of which views of each level count."""
    step = step_of(2, seed=3, orphans=0.1)
    assert torch.stack(build().measurable_views(step)[1:]).all()
    return step


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    try:
        mine = part(whole(), rank)
        found = torch.stack(
            [
                values(mine, negatives=negatives, training=training)
                for negatives, training in (("volume", True), ("batch", True), ("batch", False))
            ]
        )
        dist.all_reduce(found)
        if rank == 0:
            torch.save(found / 2, f"{folder}/values.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch is built without distributed")
def test_two_ranks(tmp_path) -> None:
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    own, batch, evaluation = torch.load(tmp_path / "values.pt", weights_only=True)
    torch.testing.assert_close(own, values(whole(), negatives="volume", training=True))
    torch.testing.assert_close(batch, values(whole(), negatives="batch", training=True))
    # In evaluation each rank keeps to itself.
    apart = [values(part(whole(), n), negatives="batch", training=False) for n in (0, 1)]
    torch.testing.assert_close(evaluation, (apart[0] + apart[1]) / 2)
    assert not torch.allclose(batch, evaluation)
