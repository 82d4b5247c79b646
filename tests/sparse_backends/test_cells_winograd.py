"""Minimal filtering along z and y against numpy, the reference backend and the plain sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl3d.geometry import Operation, OperationKind, Triple
from ssl3d.sparse import CellGrid
from ssl3d.testing.sparse_cases import Case, draw_inputs
from ssl3d.testing.sparse_run import assert_close, run
from ssl3d_plugins.sparse_cells import Cells, backend, winograd
from ssl3d_plugins.sparse_cells.across import HALO, PAIRS, WINOGRAD
from ssl3d_plugins.sparse_cells.choice import choose
from ssl3d_plugins.sparse_cells.minimal_filter import minimal_filter
from ssl3d_plugins.sparse_dense import Dense

CELLS, DENSE = Cells().build(), Dense().build()
ONE: Triple = (1, 1, 1)


def convolution(kind: OperationKind = "conv3d", channels: tuple[int, int] = (3, 5)) -> Operation:
    return Operation(kind, (3, 3, 3), ONE, ONE, 1, channels)


def test_one_axis_is_numpy_s_correlation() -> None:
    a, g, b = (m.numpy() for m in minimal_filter(torch.zeros((), dtype=torch.float64)))
    generator = np.random.default_rng(0)
    inputs, kernel = generator.normal(size=6), generator.normal(size=3)
    expected = np.correlate(inputs, kernel, mode="valid")
    np.testing.assert_allclose(a @ ((g @ kernel) * (b @ inputs)), expected, rtol=0, atol=1e-13)


def visible_cells(share: float, *, shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize("kind", ["conv3d", "conv_transpose3d"])
@settings(max_examples=25, deadline=None)
@given(
    edge=st.tuples(st.sampled_from([4, 8]), st.sampled_from([4, 8]), st.integers(1, 5)),
    shape=st.tuples(st.integers(1, 2), *[st.integers(1, 3)] * 3),
    share=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    seed=st.integers(0, 1000),
    chunk=st.sampled_from([1, 2000, winograd.CHUNK_VALUES]),
)
def test_values_and_gradients_equal_the_reference(
    kind: OperationKind, edge: Triple, shape: tuple[int, ...], share: float, seed: int, chunk: int
) -> None:
    case = Case(convolution(kind), edge)
    visible = visible_cells(share, shape=shape, seed=seed)
    inputs = draw_inputs(case, visible)
    expected = run(DENSE, case, inputs, cells=CellGrid(visible, cell=case.cell))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "choose", lambda _op, **_: WINOGRAD)
        patch.setattr(winograd, "CHUNK_VALUES", chunk)
        actual = run(CELLS, case, inputs, cells=CellGrid(visible, cell=case.cell))
    assert_close(actual, expected, tolerance=1e-9)


def test_single_precision_rounds_about_as_the_plain_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors against double precision: at most three times those of the plain convolution."""
    case = Case(convolution(channels=(64, 64)), (4, 4, 4))
    visible = visible_cells(0.5, shape=(1, 3, 3, 3), seed=0)
    inputs = draw_inputs(case, visible)
    exact = run(DENSE, case, inputs, cells=CellGrid(visible, cell=case.cell))
    errors = {}
    for way in (HALO, WINOGRAD):
        monkeypatch.setattr(backend, "choose", lambda _op, way=way, **_: way)
        cells = CellGrid(visible, cell=case.cell)
        rounded = run(CELLS, case, inputs, cells=cells, dtype=torch.float32)
        errors[way] = {name: (rounded[name] - exact[name]).square().mean() for name in exact}
    for name in exact:
        assert errors[WINOGRAD][name].sqrt() <= 3 * errors[HALO][name].sqrt() + 1e-12, name


@pytest.mark.parametrize(
    ("change", "edge", "dtype", "way"),
    [
        ({}, (4, 8, 3), torch.float32, WINOGRAD),
        ({}, (4, 6, 4), torch.float32, HALO),
        ({}, (2, 4, 4), torch.float32, HALO),
        ({}, (2, 2, 2), torch.float32, PAIRS),
        ({}, (4, 4, 4), torch.bfloat16, HALO),
        ({"channels": (32, 64)}, (4, 4, 4), torch.float32, HALO),
        ({"groups": 64}, (4, 4, 4), torch.float32, HALO),
        ({"kernel": (1, 3, 3), "padding": (0, 1, 1)}, (4, 4, 4), torch.float32, HALO),
        ({"stride": (2, 2, 2)}, (8, 8, 8), torch.float32, HALO),
        ({"stride": (2, 2, 2), "channels": (128, 128)}, (8, 8, 8), torch.float32, PAIRS),
    ],
)
def test_what_is_chosen(
    change: dict[str, object], edge: Triple, dtype: torch.dtype, way: object
) -> None:
    """Whole tiles of many channels in single precision go this way; nothing else does."""
    op = Operation(**{**vars(convolution(channels=(64, 64))), **change})  # type: ignore[arg-type]
    features = torch.empty(1, *edge, op.channels[0], dtype=dtype)
    assert choose(op, features=features) is way
