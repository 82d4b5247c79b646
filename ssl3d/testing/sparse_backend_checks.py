"""What every sparse backend must do.

Results are compared with the definition, in float64: zero-fill the hidden sites, run torch's
operation, keep the visible cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, OperationKind, Triple
from ssl3d.sparse import CellGrid, SparseBackend, SparseVolume
from ssl3d.sparse.layers import BatchNorm
from ssl3d.testing.check import check, checks_of, refused, require, same_bits_asked_of
from ssl3d.testing.sparse_cases import (
    CASES,
    LARGER,
    UNDEFINED,
    Case,
    chain,
    draw_inputs,
    half_visible,
    layouts,
    make_case,
    random_case,
)
from ssl3d.testing.sparse_run import (
    apply,
    assert_close,
    assert_same,
    by_definition,
    gradients,
    run,
    volume_of,
)
from ssl3d.testing.sparse_under_test import SparseBackendUnderTest

PLAIN = make_case("conv3d", 3)


@check(case=CASES, layout=tuple(layouts()))
def definition(b: SparseBackendUnderTest, *, case: Case, layout: str) -> None:
    """Values and gradients are those of the definition, whatever is visible."""
    b.compare(case, layouts()[layout])


@check(seed=range(40))
def random_shapes(b: SparseBackendUnderTest, *, seed: int) -> None:
    """So they are on any grid, with any cells and any share of them visible."""
    b.compare(*random_case(seed))


@check(case=[case for case in CASES if case.op.kind == "conv3d"])
def nothing_hidden_is_torch(b: SparseBackendUnderTest, *, case: Case) -> None:
    """With every cell visible a convolution is torch's own on the whole volume."""
    b.needs(case)
    visible = torch.ones(2, 2, 3, 1, dtype=torch.bool)
    inputs = draw_inputs(case, visible)
    leaves = [t.to(b.device, b.dtype) for t in inputs]
    x = volume_of(case, leaves[0], cells=b.grid(case, visible), backend=b.backend)
    got = apply(b.backend, case.op, x, *leaves[1:]).to_dense()
    op, whole = case.op, CellGrid(visible, cell=case.cell).scatter(inputs.features)
    want = F.conv3d(whole, inputs.weight, inputs.bias, op.stride, op.padding, 1, op.groups)
    assert_close({"values": got}, {"values": want}, tolerance=b.tolerance)


@check(case=LARGER)
def hidden_voxels_are_never_read(b: SparseBackendUnderTest, *, case: Case) -> None:
    """NaN and infinity where cells are hidden change no bit of the result."""
    b.needs(case)
    visible = half_visible()
    cells = b.grid(case, visible)
    features, weight, bias = (t.to(b.device, b.dtype) for t in draw_inputs(case, visible))
    results = []
    for fill in (0.0, torch.nan, torch.inf):
        hidden = features.new_full((case.op.channels[0],), fill)
        volume = cells.scatter(features, fill=hidden).requires_grad_()
        x = SparseVolume.from_dense(volume, cells=cells, backend=b.backend, stride=case.stride)
        with same_bits_asked_of(b.device):
            y = apply(b.backend, case.op, x, weight, bias).features
            (gradient,) = torch.autograd.grad(y.square().sum(), volume)
        results.append({"values": y.detach(), "gradient of volume": gradient})
    require(bool(results[0]["values"].isfinite().all()), "values: not finite")
    for other in results[1:]:
        assert_same(other, results[0])


@check(case=LARGER)
def same_bits_in_every_run(b: SparseBackendUnderTest, *, case: Case) -> None:
    """Several threads give the same bits each time, in gradients too."""
    b.needs(case)
    inputs = draw_inputs(case, half_visible())
    with _several_threads(), same_bits_asked_of(b.device):
        first = b.run(case, half_visible(), inputs)
        for _ in range(4):
            assert_same(b.run(case, half_visible(), inputs), first)


@check(case=LARGER)
def samples_do_not_meet(b: SparseBackendUnderTest, *, case: Case) -> None:
    """Samples in another order give the same values and gradients in that order."""
    b.needs(case)
    visible, order = half_visible(samples=3), [2, 0, 1]
    inputs = draw_inputs(case, visible)
    counts = visible.flatten(1).sum(1).tolist()
    rows = [torch.split(torch.arange(sum(counts)), counts)[i] for i in order]
    moved = torch.cat(rows)
    expected = b.run(case, visible, inputs)
    for name in ("values", "gradient of features"):
        expected[name] = expected[name][moved.to(b.device)]
    given = inputs._replace(features=inputs.features[moved])
    permuted = b.run(case, visible[order], given, order=moved)
    assert_close(permuted, expected, tolerance=b.tolerance)


@check()
def one_grid_serves_all_layers(b: SparseBackendUnderTest) -> None:
    """Tables kept on a grid by one layer are right for the next, whatever its shape."""
    shared: dict[Triple, CellGrid] = {}
    visible = layouts()["uneven"]
    for case in filter(lambda case: b.config.supports(case.op), CASES):
        cells, inputs = (
            shared.setdefault(case.cell, b.grid(case, visible)),
            draw_inputs(case, visible),
        )
        got = run(b.backend, case, inputs, cells=cells, dtype=b.dtype)
        assert_close(got, b.expected(case, visible, inputs), tolerance=b.tolerance)


@check(first={"cubic": (2, 2, 2), "anisotropic": (1, 2, 2)}, up=(2, 4), layout=tuple(layouts()))
def down_and_up(b: SparseBackendUnderTest, *, first: Triple, up: int, layout: str) -> None:
    """A chain of strides down and back up, with a sum on the way, is right as a whole."""
    actual, expected = b.through(chain(first, up=(up, up, up)), layouts()[layout])
    assert_close(actual, expected, tolerance=10 * b.tolerance)


@check(layout=("uneven", "empty_sample"))
def batch_norm_counts_visible_sites(b: SparseBackendUnderTest, *, layout: str) -> float:
    """After a convolution, in values and gradients; gives the largest error."""
    case, visible = make_case("conv3d", 3, edge=4, channels=(5, 7)), layouts()[layout]
    b.needs(case)
    norm, inputs = BatchNorm(7).to(b.device, b.dtype), draw_inputs(case, visible)

    def layer(backend: SparseBackend, *given: Any) -> SparseVolume:
        y = norm(apply(backend, *given))
        assert isinstance(y, SparseVolume)
        return y

    def rows(backend: SparseBackend, *given: Any) -> SparseVolume:
        y = by_definition(backend, *given)
        deviation = (y.sites.var(0, correction=0) + norm.eps).sqrt()
        return y.with_features((y.sites - y.sites.mean(0)) / deviation)

    got = run(b.backend, case, inputs, cells=b.grid(case, visible), dtype=b.dtype, compute=layer)
    want = run(b.backend, case, inputs, cells=CellGrid(visible, cell=case.cell), compute=rows)
    return assert_close(got, want, tolerance=b.tolerance)


@check(case=LARGER)
def autocast(b: SparseBackendUnderTest, *, case: Case) -> None:
    """Under bfloat16 autocast results are near and gradients keep their parameter's type."""
    b.needs(case)
    visible = half_visible()
    inputs = draw_inputs(case, visible)
    expected = b.expected(case, visible, inputs)
    with torch.autocast(torch.device(b.device).type, dtype=torch.bfloat16):
        cells = b.grid(case, visible)
        got = run(b.backend, case, inputs, cells=cells, dtype=torch.float32)
    types = {t.dtype for name, t in got.items() if "gradient" in name}
    require(types == {torch.float32}, f"gradients of float32 parameters are {types}")
    assert_close(got, expected, tolerance=0.02)


@check(frozen=("features", "weight", "bias"))
def frozen(b: SparseBackendUnderTest, *, frozen: str) -> None:
    """What needs no gradient gets none; the others get the same as without it."""
    b.needs(PLAIN)
    visible = layouts()["uneven"]
    inputs, cells = draw_inputs(PLAIN, visible), b.grid(PLAIN, visible)
    expected = gradients(b.backend, PLAIN, inputs, cells=cells, dtype=b.dtype)
    lacking = ", ".join(set(inputs._fields) - set(expected))
    require(not lacking, f"no gradient of {lacking}, which needs one")
    found = gradients(b.backend, PLAIN, inputs, cells=cells, dtype=b.dtype, frozen=frozen)
    require(set(found) == set(expected) - {frozen}, f"gradients of {', '.join(found)}")
    assert_close(found, {n: expected[n] for n in found}, tolerance=b.tolerance)


@check()
def no_gradient_is_kept_where_none_is_wanted(b: SparseBackendUnderTest) -> None:
    """Under `torch.no_grad` a result hangs on nothing."""
    b.needs(PLAIN)
    visible = layouts()["uneven"]
    leaves = [t.to(b.device, b.dtype) for t in draw_inputs(PLAIN, visible)]
    x = volume_of(PLAIN, leaves[0], cells=b.grid(PLAIN, visible), backend=b.backend)
    with torch.no_grad():
        y = apply(b.backend, PLAIN.op, x, leaves[1].requires_grad_(), leaves[2])
    require(not y.features.requires_grad, "the result requires a gradient")


@check(op={op.describe(): op for op in UNDEFINED})
def undefined_is_refused(b: SparseBackendUnderTest, *, op: Operation) -> None:
    """What has no meaning on hidden cells is refused, not approximated."""
    require(not b.config.supports(op), f"the config claims {op.describe()}")
    _refuses(b, Case(op, (4, 4, 4)), naming=op.kind)


@check(kind=("conv3d", "max_pool3d", "avg_pool3d"))
def odd_cells_are_not_halved(b: SparseBackendUnderTest, *, kind: OperationKind) -> None:
    """A stride that does not divide the cell is refused."""
    _refuses(b, make_case(kind, 2, 2, edge=(4, 3, 4)), naming=kind)


@check()
def voxels_are_not_refined(b: SparseBackendUnderTest) -> None:
    """Up-sampling past one site a voxel is refused."""
    cells = CellGrid(layouts()["uneven"].to(b.device), cell=(4, 4, 4))
    features = torch.zeros(cells.n, 4, 4, 4, 2, dtype=b.dtype, device=b.device)
    x = SparseVolume(features, cells, (1, 1, 1), b.backend)
    with refused("interpolation of voxels", naming="interpolate"):
        b.backend.interpolate(x, scale=(2, 2, 2))


@check()
def wrong_channels_are_refused(b: SparseBackendUnderTest) -> None:
    """A weight for another number of channels is refused with both numbers."""
    weight = draw_inputs(PLAIN, layouts()["uneven"]).weight[:, :3]
    _refuses(b, PLAIN, naming="channels", weight=weight)


@check()
def name(b: SparseBackendUnderTest) -> None:
    """The backend calls itself what its config does."""
    require(b.backend.name == b.config.name, f"it calls itself {b.backend.name!r}")


CHECKS = checks_of(globals())


def _refuses(
    b: SparseBackendUnderTest, case: Case, *, naming: str, weight: Tensor | None = None
) -> None:
    visible = layouts()["uneven"]
    inputs = draw_inputs(case, visible)
    with refused(str(case), naming=naming):
        b.run(case, visible, inputs if weight is None else inputs._replace(weight=weight))


@contextmanager
def _several_threads() -> Iterator[None]:
    """At least two threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(2, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
