"""The `dense` backend is the definition, so it is held to torch and loops written out here."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d.testing.sparse_cases import CASES, CONVOLUTIONS, Case, draw_inputs, layouts
from ssl3d.testing.sparse_run import apply, assert_close, run
from ssl3d_plugins.sparse_dense import Dense

BACKEND = Dense().build()


class TestDense(SparseBackendConformance):
    config = Dense()


def box_of(cell: tuple[int, ...], edge: Triple) -> tuple[slice, ...]:
    return tuple(slice(p * e, (p + 1) * e) for p, e in zip(cell, edge, strict=True))


def filled(features: Tensor, visible: Tensor, edge: Triple, value: float) -> Tensor:
    """Cells put into a volume one by one, `value` elsewhere."""
    b, *grid = visible.shape
    size = [g * e for g, e in zip(grid, edge, strict=True)]
    volume = torch.full((b, features.shape[-1], *size), value, dtype=features.dtype)
    for row, (sample, *cell) in enumerate(visible.nonzero().tolist()):
        volume[(sample, slice(None), *box_of(cell, edge))] = features[row].movedim(-1, 0)
    return volume


def kept(volume: Tensor, visible: Tensor) -> Tensor:
    """The visible cells of a volume, one by one."""
    size = zip(volume.shape[2:], visible.shape[1:], strict=True)
    z, y, x = (s // g for s, g in size)
    boxes = [
        volume[(sample, slice(None), *box_of(cell, (z, y, x)))].movedim(0, -1)
        for sample, *cell in visible.nonzero().tolist()
    ]
    return torch.stack(boxes) if boxes else volume.new_zeros(0, z, y, x, volume.shape[1])


def by_torch(op: Operation, volume: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if op.kind == "conv3d":
        return F.conv3d(volume, weight, bias, op.stride, op.padding, 1, op.groups)
    if op.kind == "conv_transpose3d":
        odd = [k % 2 and k != s for k, s in zip(op.kernel, op.stride, strict=True)]
        extra = [s - 1 if o else 0 for o, s in zip(odd, op.stride, strict=True)]
        return F.conv_transpose3d(volume, weight, bias, op.stride, op.padding, extra, op.groups)
    pool = F.max_pool3d if op.kind == "max_pool3d" else F.avg_pool3d
    return pool(volume, op.kernel, op.stride, op.padding)


@pytest.mark.parametrize("layout", ["uneven", "single_cell", "everything"])
@pytest.mark.parametrize("case", [c for c in CASES if c.op.kind != "interpolate"], ids=str)
def test_equals_torch_on_a_volume_filled_by_hand(case: Case, layout: str) -> None:
    visible, op = layouts()[layout], case.op
    inputs = draw_inputs(case, visible)
    if op.kind == "avg_pool3d" and any(
        s * e < k for s, e, k in zip(visible.shape[1:], case.edge, op.kernel, strict=True)
    ):
        pytest.skip("torch's average pool refuses volumes smaller than its kernel")
    leaves = [t.clone().requires_grad_() for t in inputs]
    value = -torch.inf if op.kind == "max_pool3d" else 0.0
    y = kept(by_torch(op, filled(leaves[0], visible, case.edge, value), *leaves[1:]), visible)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    names = ("features", "weight", "bias")[: 3 if op.kind in CONVOLUTIONS else 1]
    gradients = torch.autograd.grad((y * upstream).sum(), leaves[: len(names)])
    expected = {f"gradient of {n}": g for n, g in zip(names, gradients, strict=True)}
    actual = run(BACKEND, case, inputs, cells=CellGrid(visible, cell=case.cell))
    assert_close(actual, {"values": y.detach(), **expected}, tolerance=1e-12)


def test_convolution_is_a_sum_over_visible_neighbours() -> None:
    """Written out with loops, hidden sites left out of the sum."""
    visible = torch.tensor([[[[True, False], [True, True]]]])
    op = Operation("conv3d", (3, 3, 3), (1, 2, 1), (1, 1, 1), 1, (2, 3))
    case = Case(op, (2, 2, 3))
    inputs = draw_inputs(case, visible)
    cells = CellGrid(visible, cell=case.cell)
    x = SparseVolume(inputs.features, cells, case.stride, BACKEND)
    actual = apply(BACKEND, op, x, inputs.weight, inputs.bias)

    sites = {
        tuple(c * e + i for c, e, i in zip(cell, case.edge, inside, strict=True)): value[inside]
        for cell, value in zip(visible[0].nonzero().tolist(), inputs.features, strict=True)
        for inside in itertools.product(*map(range, case.edge))
    }
    for row, cell in enumerate(visible[0].nonzero().tolist()):
        for inside in itertools.product(*map(range, actual.edge)):
            centre = [
                (c * e + i) * s
                for c, e, i, s in zip(cell, actual.edge, inside, op.stride, strict=True)
            ]
            expected = inputs.bias.clone()
            for k in itertools.product(range(3), repeat=3):
                seen = sites.get(tuple(c + j - 1 for c, j in zip(centre, k, strict=True)))
                if seen is not None:
                    expected += inputs.weight[:, :, k[0], k[1], k[2]] @ seen
            torch.testing.assert_close(actual.features[row][inside], expected)


def test_interpolation_takes_each_cell_alone() -> None:
    visible = layouts()["uneven"]
    cells = CellGrid(visible, cell=(4, 8, 4))
    features = torch.randn(cells.n, 2, 2, 4, 3, dtype=torch.float64)
    x = SparseVolume(features, cells, (2, 4, 1), BACKEND)
    finer = BACKEND.interpolate(x, scale=(2, 2, 1))
    for box, expected in zip(features, finer.features, strict=True):
        alone = F.interpolate(box.movedim(-1, 0)[None], size=(4, 4, 4), mode="trilinear")
        torch.testing.assert_close(alone[0].movedim(0, -1), expected)
