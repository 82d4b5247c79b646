"""`LocalBackend` leaves a backend what looks past a cell of visible ones, checked, and no more."""

from __future__ import annotations

import importlib

import pytest
import spoiled_backends as spoiled
import torch
from torch import Tensor

from ssl3d.geometry import Operation
from ssl3d.sparse import CellGrid, SparseBackend, SparseVolume
from ssl3d.sparse.local import LocalBackend
from ssl3d.sparse.pool import pool
from ssl3d.testing.sparse_cases import CASES, Case, draw_inputs, layouts, make_case
from ssl3d.testing.sparse_run import assert_close, run
from ssl3d_plugins.sparse_dense import Dense

DENSE = Dense().build()
ACROSS = [case for case in CASES if not case.op.inside_cells]


class Nothing(LocalBackend):
    """Does nothing across cells."""

    def across(
        self, x: SparseVolume, op: Operation, weight: Tensor | None, bias: Tensor | None
    ) -> SparseVolume:
        raise NotImplementedError(op.describe())


class Pools(Nothing):
    """Pools in plain torch."""

    def across(
        self, x: SparseVolume, op: Operation, weight: Tensor | None, bias: Tensor | None
    ) -> SparseVolume:
        return pool(x, op) if weight is None else super().across(x, op, weight, bias)


def compare(backend: type[SparseBackend], case: Case, visible: Tensor) -> None:
    inputs = draw_inputs(case, visible)
    want = run(DENSE, case, inputs, cells=CellGrid(visible, cell=case.cell))
    mine = backend(spoiled.config_of(backend)())
    assert_close(
        run(mine, case, inputs, cells=CellGrid(visible, cell=case.cell)), want, tolerance=1e-9
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_across_is_asked_for_what_looks_past_a_cell_and_for_nothing_else(case: Case) -> None:
    if case.op.inside_cells:
        compare(Nothing, case, layouts()["uneven"])
        return
    with pytest.raises(NotImplementedError, match=case.op.kind):
        compare(Nothing, case, layouts()["uneven"])


@pytest.mark.parametrize("case", ACROSS, ids=str)
def test_where_nothing_is_visible_the_base_answers(case: Case) -> None:
    compare(Nothing, case, layouts()["empty_batch"])


@pytest.mark.parametrize("case", [c for c in ACROSS if "pool" in c.op.kind], ids=str)
@pytest.mark.parametrize("layout", layouts())
def test_pools_in_plain_torch(case: Case, layout: str) -> None:
    compare(Pools, case, layouts()[layout])


def test_where_nothing_is_visible_autocast_holds() -> None:
    case, visible = make_case("conv3d", 3), layouts()["empty_batch"]
    cells = CellGrid(visible, cell=case.cell)
    x = SparseVolume(torch.zeros(0, *case.edge, 4), cells, (1, 1, 1), Nothing(Dense()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = x.backend.conv3d(x, torch.zeros(6, 4, 3, 3, 3), padding=(1, 1, 1))
    assert y.features.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["cells", "minkowski", "spconv"])
def test_a_backend_writes_across_alone(name: str) -> None:
    library = {"minkowski": "MinkowskiEngine", "spconv": "spconv"}.get(name)
    if library:
        pytest.importorskip(library, reason=f"{name}: its library is not installed")
    module = importlib.import_module(f"ssl3d_plugins.sparse_{name}.backend")
    (backend,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, LocalBackend) and value is not LocalBackend
    )
    assert backend.__bases__ == (LocalBackend,)
    assert {each for each in vars(backend) if not each.startswith("_")} == {"across"}
    assert not {each for each in vars(backend) if each in vars(LocalBackend)} & {"_apply"}
