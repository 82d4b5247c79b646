"""The fused way does what the definition says, by Triton's interpreter."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton", reason="Triton has no wheel for this system")

from interpreted import interpret

from ssl3d.geometry import Operation
from ssl3d.sparse import CellGrid
from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d.testing.sparse_cases import Case, draw_inputs, layouts, make_case
from ssl3d.testing.sparse_run import assert_close, assert_same, run
from ssl3d_plugins.sparse_cells import Cells
from ssl3d_plugins.sparse_cells.fused import conv
from ssl3d_plugins.sparse_cells.fused.blocks import (
    Blocks,
    correlate_blocks,
    gather_blocks,
    parts_of,
)
from ssl3d_plugins.sparse_dense import Dense

CELLS, DENSE = Cells().build(), Dense().build()
CASES = (
    make_case("conv3d", 3, edge=(1, 2, 3), channels=(1, 3)),
    make_case("conv3d", (1, 3, 3), edge=1, channels=(17, 20)),
    make_case("conv3d", 3, 2, edge=(2, 4, 2), channels=(3, 5)),
    make_case("conv3d", (1, 3, 3), (1, 2, 2), edge=(3, 2, 2), channels=(20, 3)),
    make_case("conv3d", (3, 1, 2), (2, 1, 2), channels=(2, 2)),
    make_case("conv3d", 1, 2, channels=(3, 4)),
    make_case("conv_transpose3d", 3, 2, edge=1, channels=(17, 2)),
    make_case("conv_transpose3d", 4, 2, edge=(2, 1, 1), channels=(2, 3)),
)


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    interpret(monkeypatch)


@pytest.mark.slow
class TestFused(SparseBackendConformance):
    """Single precision: the kernels sum in it whatever they are given."""

    config, dtype, tolerance = Cells(), torch.float32, 1e-4


def compare(case: Case, *, dtype: torch.dtype, tolerance: float) -> None:
    assert conv.fits(case.op, edge=case.edge, dtype=dtype)
    visible = layouts()["uneven"][:, :2]
    inputs = draw_inputs(case, visible)
    expected = run(DENSE, case, inputs, cells=CellGrid(visible, cell=case.cell))
    actual = run(CELLS, case, inputs, cells=CellGrid(visible, cell=case.cell), dtype=dtype)
    assert_close({k: v.double() for k, v in actual.items()}, expected, tolerance=tolerance)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_are_those_of_the_definition(case: Case) -> None:
    compare(case, dtype=torch.float32, tolerance=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_its_inputs_and_results_alone(dtype: torch.dtype) -> None:
    """Sums are in single precision, so errors are of the size of one rounding of each."""
    tolerance = 4 * torch.finfo(dtype).eps
    compare(make_case("conv3d", (3, 1, 1), channels=(20, 3)), dtype=dtype, tolerance=tolerance)


def test_sums_in_parts_repeat_and_what_is_not_finite_reaches_neighbours_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many programs, as on a GPU: several blocks of sites, channels and parts of a sum."""
    for blocks in ("gather_blocks", "correlate_blocks"):
        monkeypatch.setattr(conv, blocks, lambda **_: Blocks(16, 16, 32, 4, 3))
    case = make_case("conv3d", 3, edge=2, channels=(3, 4))
    visible = torch.zeros(1, 5, 2, 2, dtype=torch.bool)
    visible[0, [0, 1, 4], :, :1] = True
    inputs, cells = draw_inputs(case, visible), CellGrid(visible, cell=case.cell)
    first = run(CELLS, case, inputs, cells=cells, dtype=torch.float32)
    assert_same(run(CELLS, case, inputs, cells=cells, dtype=torch.float32), first)
    assert_close(first, run(DENSE, case, inputs, cells=cells), tolerance=1e-5)
    spoiled = inputs._replace(features=inputs.features.clone())
    spoiled.features[0] = torch.nan  # a neighbour of the next three, not of the last two
    with torch.no_grad():
        features = spoiled.features.float()
        y = conv.down(features, inputs.weight.float(), None, cells=cells, op=case.op)
    reached = y.flatten(1).isnan().any(1)
    assert reached.tolist() == [True, True, True, True, False, False]


@pytest.mark.parametrize(
    ("change", "edge", "dtype", "fits"),
    [
        ({}, (1, 1, 1), torch.float32, True),
        ({}, (32, 16, 1), torch.bfloat16, True),
        ({"kernel": (5, 5, 5), "padding": (2, 2, 2)}, (2, 2, 2), torch.float16, True),
        ({"kernel": (5, 5, 5), "padding": (2, 2, 2)}, (2, 2, 1), torch.float32, False),
        ({"groups": 4}, (4, 4, 4), torch.float32, False),
        ({}, (4, 4, 4), torch.float64, False),
    ],
)
def test_what_it_computes(
    change: dict[str, object], edge: tuple[int, int, int], dtype: torch.dtype, fits: bool
) -> None:
    """Nothing past a neighbouring cell, no groups, no double precision."""
    plain = Operation("conv3d", (3, 3, 3), (1, 1, 1), (1, 1, 1), 1, (4, 4))
    op = Operation(**{**vars(plain), **change})  # type: ignore[arg-type]
    assert conv.fits(op, edge=edge, dtype=dtype) is fits


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("channels", [1, 3, 16, 48, 320, 512])
@pytest.mark.parametrize("sites", [1, 500, 10**6])
def test_blocks_are_what_triton_takes(sites: int, channels: int, exact: bool) -> None:
    """Powers of two from 16; and no more parts of a sum than blocks of sites."""
    gathered = gather_blocks(sites=sites, columns=channels, outputs=channels, exact=exact)
    summed = correlate_blocks(columns=channels, outputs=channels, exact=exact)
    for block in (*gathered[:3], *summed[:3]):
        assert block in (16, 32, 64, 128)
    assert 1 <= parts_of(sites, tiles=27, block=summed.m) <= -(-sites // summed.m)
    assert parts_of(sites, tiles=10**5, block=summed.m) == 1
