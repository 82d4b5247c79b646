"""Batch norm over two ranks is batch norm over the whole batch, in values and gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from ssl3d.sparse import CellGrid, FeatureMap, SparseVolume
from ssl3d.sparse.layers import BatchNorm
from ssl3d_plugins.sparse_cells import Cells

CHANNELS = 3
VISIBLE = {  # rank 1 shows less than rank 0, nothing, or neither shows anything
    "sparse": ([[1, 1, 0, 1], [1, 0, 0, 0]], [[0, 1, 0, 0], [0, 0, 1, 0]]),
    "empty rank": ([[1, 1, 0, 1], [1, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]),
    "empty ranks": ([[0, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]),
}


def layer() -> BatchNorm:
    """Double precision, with a scale and a shift that are not 1 and 0."""
    norm = BatchNorm(CHANNELS, momentum=0.3).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        norm.bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
    return norm


def volume(ranks: list[int]) -> Tensor:
    """Two samples a rank; the same whatever ranks are asked for."""
    whole = torch.randn(4, CHANNELS, 2, 2, 8, generator=torch.Generator().manual_seed(0)).double()
    return torch.cat([whole[2 * rank : 2 * rank + 2] for rank in ranks]).requires_grad_()


def step(case: str, ranks: list[int]) -> dict[str, Tensor]:
    """Output, running statistics and gradients of some ranks' samples, computed here."""
    norm, x = layer(), volume(ranks)
    given: FeatureMap = x
    if case != "dense":
        rows = [row for rank in ranks for row in VISIBLE[case][rank]]
        visible = torch.tensor(rows, dtype=torch.bool).view(len(rows), 1, 1, 4)
        cells = CellGrid(visible, cell=(2, 2, 2))
        given = SparseVolume.from_dense(x, cells=cells, backend=Cells().build())
    out = norm(given)
    dense = out.to_dense() if isinstance(out, SparseVolume) else out
    factors = torch.linspace(-1, 2, dense[0].numel()).double().view(dense[0].shape)
    (dense.square() * factors).sum().backward()
    return {
        "out": dense.detach(),
        "input": torch.zeros_like(x) if x.grad is None else x.grad,
        "weight": norm.weight.grad,
        "bias": norm.bias.grad,
        "mean": norm.running_mean,
        "var": norm.running_var,
    }


def work(rank: int, folder: str, case: str) -> None:
    """One of two processes."""
    torch.set_num_threads(1)
    start = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=start, rank=rank, world_size=2)
    try:
        torch.save(step(case, [rank]), f"{folder}/rank{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("case", ["dense", *VISIBLE])
def test_two_ranks_equal_one_process(tmp_path: Path, case: str) -> None:
    torch.multiprocessing.spawn(work, (str(tmp_path), case), nprocs=2)
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    whole = step(case, [0, 1])
    for name in ("out", "input"):
        together = torch.cat([rank[name] for rank in ranks])
        torch.testing.assert_close(together, whole[name], rtol=1e-9, atol=1e-9)
    for name in ("weight", "bias"):
        total = ranks[0][name] + ranks[1][name]
        torch.testing.assert_close(total, whole[name], rtol=1e-9, atol=1e-9)
    for name in ("mean", "var"):
        for rank in ranks:
            torch.testing.assert_close(rank[name], whole[name], rtol=1e-9, atol=1e-9)
