"""`cells` against `dense` over shapes, strides and kernels that hypothesis looks for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ssl3d.geometry import Operation, OperationKind, Triple
from ssl3d.sparse import CellGrid, SparseBackend, SparseVolume, halo
from ssl3d.sparse.halo import put_back, take, take_chunks
from ssl3d.sparse.tables import Reach
from ssl3d.testing.sparse_cases import Case, Inputs, draw_inputs, layouts
from ssl3d.testing.sparse_run import apply, assert_close, run
from ssl3d_plugins.sparse_cells import Cells, backend
from ssl3d_plugins.sparse_cells.across import HALO, PAIRS, WINOGRAD, Way
from ssl3d_plugins.sparse_dense import Dense

CELLS, DENSE = Cells().build(), Dense().build()
ONE: Triple = (1, 1, 1)


def triples(values: st.SearchStrategy[int]) -> st.SearchStrategy[Triple]:
    return st.tuples(values, values, values)


@st.composite
def grids(draw: st.DrawFn) -> Tensor:
    """Visible cells of one to three samples on a grid of up to 3³, from all to none."""
    shape = (draw(st.integers(1, 3)), *draw(triples(st.integers(1, 3))))
    share = draw(st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    return torch.rand(shape, generator=generator) < share


@st.composite
def cases(draw: st.DrawFn, kinds: tuple[OperationKind, ...]) -> Case:
    """Any operation with a meaning: each axis has its own kernel, stride and cell edge."""
    kind = draw(st.sampled_from(kinds))
    shapes = [(1, 1, 0), (3, 1, 1), (5, 1, 2), (1, 2, 0), (3, 2, 1), (5, 2, 2), (2, 2, 0)]
    shapes += [(3, 3, 0)] + ([(4, 2, 1)] if kind == "conv_transpose3d" else [])
    axes = [draw(st.sampled_from(shapes)) for _ in range(3)]
    (kz, sz, pz), (ky, sy, py), (kx, sx, px) = axes
    edge = draw(triples(st.integers(1, 3)))
    if kind != "conv_transpose3d":
        edge = (edge[0] * sz, edge[1] * sy, edge[2] * sx)
    groups = draw(st.sampled_from([1, 1, 2, 4])) if "conv" in kind else 1
    channels = (4, 4 * draw(st.integers(1, 2)) if "conv" in kind else 4)
    return Case(Operation(kind, (kz, ky, kx), (sz, sy, sx), (pz, py, px), groups, channels), edge)


def compare(case: Case, visible: Tensor) -> None:
    inputs = draw_inputs(case, visible)
    expected = run(DENSE, case, inputs, cells=CellGrid(visible, cell=case.cell))
    actual = run(CELLS, case, inputs, cells=CellGrid(visible, cell=case.cell))
    assert_close(actual, expected, tolerance=1e-9)


@pytest.mark.parametrize("way", [HALO, PAIRS])
@settings(max_examples=60, deadline=None)
@given(case=cases(("conv3d", "conv_transpose3d")), visible=grids())
def test_convolutions(way: Way, case: Case, visible: Tensor) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "choose", lambda _op, **_: way)
        compare(case, visible)


@settings(max_examples=40, deadline=None)
@given(case=cases(("max_pool3d", "avg_pool3d")), visible=grids())
def test_pools(case: Case, visible: Tensor) -> None:
    compare(case, visible)


@settings(max_examples=40, deadline=None)
@given(
    visible=grids(),
    edge=triples(st.integers(1, 3)),
    low=triples(st.integers(0, 4)),
    high=triples(st.integers(0, 4)),
)
def test_put_back_is_the_adjoint_of_take(
    visible: Tensor, edge: Triple, low: Triple, high: Triple
) -> None:
    """⟨take(x), y⟩ = ⟨x, put_back(y)⟩, also where the halo is wider than a cell."""
    cells, reach = CellGrid(visible, cell=edge), Reach(low, high)
    x = torch.randn(cells.n, *edge, 2, dtype=torch.float64)
    boxes = take(x, cells=cells, reach=reach)
    y = torch.randn_like(boxes)
    back = put_back(y, cells=cells, edge=edge, reach=reach)
    torch.testing.assert_close((boxes * y).sum(), (x * back).sum())


@settings(max_examples=40, deadline=None)
@given(
    visible=grids(),
    edge=triples(st.integers(1, 3)),
    low=triples(st.integers(0, 4)),
    high=triples(st.integers(0, 4)),
    at_once=st.integers(1, 3),
)
def test_boxes_of_some_cells_at_a_time_are_the_same(
    visible: Tensor, edge: Triple, low: Triple, high: Triple, at_once: int
) -> None:
    """A CPU's table of empty places, against the one of other devices."""
    cells, reach = CellGrid(visible, cell=edge), Reach(low, high)
    x = torch.randn(cells.n, *edge, 2)
    whole = take(x, cells=cells, reach=reach)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(halo, "CHUNK_VALUES", at_once * whole[:1].numel())
        parts = [(where, b.clone()) for where, b in take_chunks(x, cells=cells, reach=reach)]
    assert len(parts) >= (1 if reach == halo.NOWHERE else cells.n / at_once)
    for where, boxes in parts:
        assert torch.equal(boxes, whole[where])


def test_ties_of_a_max_pool_go_where_torch_sends_them() -> None:
    """After a ReLU most sites are equal, and the gradient must go to the same one of them."""
    case = Case(Operation("max_pool3d", (3, 3, 3), (2, 2, 2), (1, 1, 1), 1, (4, 4)), (4, 2, 4))
    visible = layouts()["uneven"]
    inputs = draw_inputs(case, visible)
    inputs = inputs._replace(features=inputs.features.round().clamp_min(-1.0))
    expected = run(DENSE, case, inputs, cells=CellGrid(visible, cell=case.cell))
    actual = run(CELLS, case, inputs, cells=CellGrid(visible, cell=case.cell))
    assert_close(actual, expected, tolerance=1e-12)


THREE, TWO = (3, 3, 3), (2, 2, 2)
CHANGED = [
    Operation("conv3d", THREE, TWO, ONE, 1, (4, 4)),
    Operation("conv_transpose3d", THREE, TWO, ONE, 1, (4, 4)),
    Operation("conv_transpose3d", (4, 4, 4), TWO, ONE, 1, (4, 4)),
    Operation("conv_transpose3d", (3, 1, 1), (2, 1, 1), (1, 0, 0), 1, (4, 4)),
    Operation("conv3d", THREE, ONE, ONE, 1, (4, 4)),
    Operation("conv_transpose3d", THREE, ONE, ONE, 1, (4, 4)),
]


@pytest.mark.parametrize(
    ("way", "op"),
    [
        *((way, op) for way in (HALO, PAIRS) for op in CHANGED),
        *((WINOGRAD, op) for op in CHANGED if op.stride == ONE),
    ],
)
@pytest.mark.parametrize("layout", ["uneven", "one cell"])
def test_results_may_be_changed_in_place(
    way: Way, op: Operation, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers such as `nn.ReLU(inplace=True)` work on what a convolution gives.

    In single precision: torch's own results are channels-last there, and need no copy.
    """
    monkeypatch.setattr(backend, "choose", lambda _op, **_: way)
    case = Case(op, (4, 4, 4))
    visible = layouts()["uneven"] if layout == "uneven" else torch.ones(1, 1, 1, 1).bool()

    def gradient(compute: SparseBackend, in_place: bool) -> Tensor:
        inputs = Inputs(*(t.float() for t in draw_inputs(case, visible)))
        weight = inputs.weight.requires_grad_()
        x = SparseVolume(inputs.features, CellGrid(visible, cell=case.cell), case.stride, compute)
        y = apply(compute, op, x, weight, inputs.bias)
        loss = nn.ReLU(inplace=in_place)(y.features).square().sum()
        return torch.autograd.grad(loss, weight)[0]

    torch.testing.assert_close(gradient(CELLS, True), gradient(DENSE, False), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("way", [HALO, PAIRS, WINOGRAD], ids=["halo", "pairs", "winograd"])
@pytest.mark.parametrize("kind", ["conv3d", "conv_transpose3d"])
def test_what_is_not_finite_reaches_neighbours_alone(
    way: Way, kind: OperationKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty places of tables name some row, the first for one: what stands there must not show."""
    monkeypatch.setattr(backend, "choose", lambda _op, **_: way)
    visible = torch.rand((2, 3, 3, 3), generator=torch.Generator().manual_seed(0)) < 0.4
    cells = CellGrid(visible, cell=(4, 4, 4))
    op = Operation(kind, THREE, ONE, ONE, 1, (4, 4))
    inputs = draw_inputs(Case(op, (4, 4, 4)), visible)
    near = cells.neighbours[0]
    spoiled = inputs.features.clone()
    spoiled[0] = torch.nan
    results = []
    for features in (inputs.features, spoiled):
        x = SparseVolume(features, cells, ONE, CELLS).with_features(features.requires_grad_())
        y = apply(CELLS, op, x, inputs.weight).features
        (back,) = torch.autograd.grad(y, features, features.detach())
        results.append((y, back))
    far = torch.ones(cells.n, dtype=torch.bool)
    far[near[near < cells.n]] = False
    assert far.sum() > 3
    for clean, other in zip(*results, strict=True):
        assert clean[far].isfinite().all()
        assert torch.equal(clean[far], other[far])
        assert other[0].isnan().any()


def test_many_chunks_in_low_precision_round_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum of gradients of weights in bfloat16 would lose most of them."""
    monkeypatch.setattr(backend, "choose", lambda _op, **_: HALO)
    monkeypatch.setattr(halo, "CHUNK_VALUES", 1)
    visible = torch.ones(4, 4, 4, 4).bool()
    case = Case(Operation("conv3d", THREE, ONE, ONE, 1, (4, 4)), (4, 4, 4))
    inputs = draw_inputs(case, visible)
    shared = [CellGrid(visible, cell=case.cell) for _ in range(2)]
    positive = inputs._replace(features=inputs.features.abs(), weight=inputs.weight.abs())
    exact = run(CELLS, case, positive, cells=shared[0])["gradient of weight"]
    leaf = positive.weight.float().requires_grad_()
    x = SparseVolume(positive.features.float(), shared[1], case.stride, CELLS)
    with torch.autocast("cpu", torch.bfloat16):
        y = apply(CELLS, case.op, x, leaf).features
    generator = torch.Generator().manual_seed(3)
    upstream = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    (rounded,) = torch.autograd.grad(y, leaf, upstream.to(y.dtype))
    error = (rounded - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert error < 0.01


def test_gradcheck() -> None:
    """Gradients agree with finite differences, not only with the reference."""
    visible = torch.tensor([[[[True, True, False]]], [[[False, True, True]]]])
    op = Operation("conv3d", (3, 3, 3), (1, 1, 1), (1, 1, 1), 1, (2, 2))
    cells = CellGrid(visible, cell=(1, 2, 3))
    inputs = draw_inputs(Case(op, (1, 2, 3)), visible)

    def convolve(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = SparseVolume(features, cells, (1, 1, 1), CELLS)
        return CELLS.conv3d(x, weight, bias, padding=(1, 1, 1)).features

    assert torch.autograd.gradcheck(convolve, [t.requires_grad_() for t in inputs])


def test_grouped_results_inside_a_cell_are_contiguous() -> None:
    """A sum over groups comes out in an order of axes of its own."""
    op = Operation("conv3d", (1, 1, 2), (1, 1, 2), (0, 0, 0), 4, (4, 4))
    compare(Case(op, (1, 1, 4)), torch.ones(1, 1, 1, 1, dtype=torch.bool))
