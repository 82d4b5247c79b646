"""A kit that any sparse backend's tests subclass.

    class TestMine(SparseBackendConformance):
        config = Mine()

Results are compared with those of the `dense` backend in float64, which is the definition:
zero-fill the hidden sites, run torch's operation, keep the visible cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, OperationKind, Triple
from ssl3d.interfaces import SparseBackend
from ssl3d.plugin.config import SparseBackendConfig
from ssl3d.plugin.registry import installed
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.testing.sparse_cases import (
    CASES,
    LARGER,
    UNDEFINED,
    Case,
    Inputs,
    chain,
    draw_inputs,
    half_visible,
    layouts,
    make_case,
    random_case,
)
from ssl3d.testing.sparse_run import (
    Results,
    apply,
    assert_close,
    assert_same,
    down_and_up,
    gradients,
    run,
    volume_of,
)


class SparseBackendConformance:
    """What every sparse backend must do.

    Attributes:
        config: the backend under test.
        dtype: what it computes in; float32 for a library that has no float64.
        tolerance: largest difference from the reference, as a share of its largest value (or of 1
            where that is smaller): 1e-9 for float64; about 1e-4 suits float32.
        device: where it computes.
        expected_failures: what is known not to work and why, by test name, kind of operation or
            case (as it stands in the test's id). Such a test must fail: passing is an error.
    """

    config: ClassVar[SparseBackendConfig]
    dtype: ClassVar[torch.dtype] = torch.float64
    tolerance: ClassVar[float] = 1e-9
    device: ClassVar[str] = "cpu"
    expected_failures: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture(autouse=True)
    def _expected_failure(self, request: pytest.FixtureRequest) -> None:
        node = request.node
        tried = node.callspec.params.get("case") if hasattr(node, "callspec") else None
        names = {node.originalname} | ({str(tried), tried.op.kind} if tried else set())
        for name in names & set(self.expected_failures):
            reason = self.expected_failures[name]
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    @pytest.fixture
    def backend(self) -> SparseBackend:
        """The backend under test."""
        return self.config.build()

    @pytest.fixture
    def reference(self) -> SparseBackend:
        """The definition."""
        dense = installed().config("sparse_backend", name="dense")
        assert issubclass(dense, SparseBackendConfig)
        return dense.model_validate({}).build()

    @pytest.fixture
    def threads(self) -> Iterator[None]:
        """At least two threads, and as many as before afterwards."""
        before = torch.get_num_threads()
        torch.set_num_threads(max(2, before))
        yield
        torch.set_num_threads(before)

    def grid(self, case: Case, visible: Tensor) -> CellGrid:
        """The cells of a case on the device under test."""
        return CellGrid(visible.to(self.device), cell=case.cell)

    def run(
        self, case: Case, visible: Tensor, inputs: Inputs, *, order: Tensor | None = None
    ) -> Results:
        """Values and gradients of the backend under test."""
        cells, backend = self.grid(case, visible), self.config.build()
        return run(backend, case, inputs, cells=cells, dtype=self.dtype, order=order)

    def needs(self, *cases: Case) -> None:
        """Skip a test whose operations the library lacks; `test_definition` checks the refusal."""
        for case in cases:
            reason = self.config.unsupported(case.op)
            if reason is not None:
                pytest.skip(f"{self.config.name}: {reason}")

    def compare(self, reference: SparseBackend, case: Case, visible: Tensor) -> None:
        """Assert that a case gives what the definition gives, or is refused as it should be."""
        inputs = draw_inputs(case, visible)
        if not self.config.supports(case.op):
            with pytest.raises(ValueError, match=case.op.kind):
                self.run(case, visible, inputs)
            return
        expected = run(reference, case, inputs, cells=CellGrid(visible, cell=case.cell))
        assert_close(self.run(case, visible, inputs), expected, tolerance=self.tolerance)

    @pytest.mark.parametrize("layout", layouts())
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_definition(self, reference: SparseBackend, case: Case, layout: str) -> None:
        """Values and gradients are those of the definition, whatever is visible."""
        self.compare(reference, case, layouts()[layout])

    @pytest.mark.parametrize("seed", range(40))
    def test_random_shapes(self, reference: SparseBackend, seed: int) -> None:
        """So they are on any grid, with any cells and any share of them visible."""
        self.compare(reference, *random_case(seed))

    @pytest.mark.parametrize("case", [c for c in CASES if c.op.kind == "conv3d"], ids=str)
    def test_nothing_hidden_is_torch(self, backend: SparseBackend, case: Case) -> None:
        """With every cell visible a convolution is torch's own on the whole volume."""
        self.needs(case)
        visible = torch.ones(2, 2, 3, 1, dtype=torch.bool)
        inputs = draw_inputs(case, visible)
        leaves = [t.to(self.device, self.dtype) for t in inputs]
        cells = self.grid(case, visible)
        x = volume_of(case, leaves[0], cells=cells, backend=backend)
        got = apply(backend, case.op, x, *leaves[1:]).to_dense()
        op, whole = case.op, CellGrid(visible, cell=case.cell).scatter(inputs.features)
        want = F.conv3d(whole, inputs.weight, inputs.bias, op.stride, op.padding, 1, op.groups)
        assert_close({"values": got}, {"values": want}, tolerance=self.tolerance)

    @pytest.mark.parametrize("case", LARGER, ids=str)
    def test_hidden_voxels_are_never_read(self, backend: SparseBackend, case: Case) -> None:
        """NaN and infinity where cells are hidden change no bit of the result."""
        self.needs(case)
        visible = half_visible()
        cells = self.grid(case, visible)
        features, weight, bias = (t.to(self.device, self.dtype) for t in draw_inputs(case, visible))
        results = []
        for fill in (0.0, torch.nan, torch.inf):
            hidden = features.new_full((case.op.channels[0],), fill)
            volume = cells.scatter(features, fill=hidden).requires_grad_()
            x = SparseVolume.from_dense(volume, cells=cells, backend=backend, stride=case.stride)
            y = apply(backend, case.op, x, weight, bias).features
            (gradient,) = torch.autograd.grad(y.square().sum(), volume)
            results.append({"values": y.detach(), "gradient of volume": gradient})
        assert bool(results[0]["values"].isfinite().all())
        for other in results[1:]:
            assert_same(other, results[0])

    @pytest.mark.usefixtures("threads")
    @pytest.mark.parametrize("case", LARGER, ids=str)
    def test_same_bits_in_every_run(self, case: Case) -> None:
        """Several threads give the same bits each time, in gradients too."""
        self.needs(case)
        inputs = draw_inputs(case, half_visible())
        first = self.run(case, half_visible(), inputs)
        for _ in range(4):
            assert_same(self.run(case, half_visible(), inputs), first)

    @pytest.mark.parametrize("case", LARGER, ids=str)
    def test_samples_do_not_meet(self, case: Case) -> None:
        """Samples in another order give the same values and gradients in that order."""
        self.needs(case)
        visible, order = half_visible(samples=3), [2, 0, 1]
        inputs = draw_inputs(case, visible)
        counts = visible.flatten(1).sum(1).tolist()
        rows = [torch.split(torch.arange(sum(counts)), counts)[i] for i in order]
        moved = torch.cat(rows)
        expected = self.run(case, visible, inputs)
        for name in ("values", "gradient of features"):
            expected[name] = expected[name][moved.to(self.device)]
        given = inputs._replace(features=inputs.features[moved])
        permuted = self.run(case, visible[order], given, order=moved)
        assert_close(permuted, expected, tolerance=self.tolerance)

    def test_one_grid_serves_all_layers(self, reference: SparseBackend) -> None:
        """Tables kept on a grid by one layer are right for the next, whatever its shape."""
        shared: dict[object, CellGrid] = {}
        for case in CASES:
            if not self.config.supports(case.op):
                continue
            visible = layouts()["uneven"]
            key = case.cell
            cells = shared.setdefault(key, self.grid(case, visible))
            inputs = draw_inputs(case, visible)
            got = run(self.config.build(), case, inputs, cells=cells, dtype=self.dtype)
            want = run(reference, case, inputs, cells=CellGrid(visible, cell=case.cell))
            assert_close(got, want, tolerance=self.tolerance)

    @pytest.mark.parametrize("layout", layouts())
    @pytest.mark.parametrize("up", [2, 4])
    @pytest.mark.parametrize("first", [(2, 2, 2), (1, 2, 2)], ids=["cubic", "anisotropic"])
    def test_down_and_up(
        self, reference: SparseBackend, first: Triple, up: int, layout: str
    ) -> None:
        """A chain of strides down and back up, with a sum on the way, is right as a whole."""
        cases = chain(first, up=(up, up, up))
        self.needs(*cases)
        visible = layouts()[layout]
        cells = CellGrid(visible, cell=cases[0].cell)
        expected = down_and_up(reference, cases, cells=cells)
        cells = self.grid(cases[0], visible)
        actual = down_and_up(self.config.build(), cases, cells=cells, dtype=self.dtype)
        assert_close(actual, expected, tolerance=10 * self.tolerance)

    @pytest.mark.parametrize("case", LARGER, ids=str)
    def test_autocast(self, reference: SparseBackend, case: Case) -> None:
        """Under bfloat16 autocast results are near and gradients keep their parameter's type."""
        self.needs(case)
        visible = half_visible()
        inputs = draw_inputs(case, visible)
        expected = run(reference, case, inputs, cells=CellGrid(visible, cell=case.cell))
        with torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16):
            cells = self.grid(case, visible)
            got = run(self.config.build(), case, inputs, cells=cells, dtype=torch.float32)
        assert {t.dtype for name, t in got.items() if "gradient" in name} == {torch.float32}
        assert_close(got, expected, tolerance=0.02)

    @pytest.mark.parametrize("frozen", ["features", "weight", "bias"])
    def test_frozen(self, backend: SparseBackend, frozen: str) -> None:
        """What needs no gradient gets none; the others get the same as without it."""
        case, visible = make_case("conv3d", 3), layouts()["uneven"]
        self.needs(case)
        inputs, cells = draw_inputs(case, visible), self.grid(case, visible)
        expected = gradients(backend, case, inputs, cells=cells, dtype=self.dtype)
        found = gradients(backend, case, inputs, cells=cells, dtype=self.dtype, frozen=frozen)
        assert set(found) == set(expected) - {frozen}
        assert_close(found, {n: expected[n] for n in found}, tolerance=self.tolerance)

    def test_no_gradient_is_kept_where_none_is_wanted(self, backend: SparseBackend) -> None:
        """Under `torch.no_grad` a result hangs on nothing."""
        case, visible = make_case("conv3d", 3), layouts()["uneven"]
        self.needs(case)
        leaves = [t.to(self.device, self.dtype) for t in draw_inputs(case, visible)]
        x = volume_of(case, leaves[0], cells=self.grid(case, visible), backend=backend)
        with torch.no_grad():
            y = apply(backend, case.op, x, leaves[1].requires_grad_(), leaves[2])
        assert not y.features.requires_grad

    @pytest.mark.parametrize("op", UNDEFINED, ids=Operation.describe)
    def test_undefined_is_refused(self, op: Operation) -> None:
        """What has no meaning on hidden cells is refused, not approximated."""
        case = Case(op, (4, 4, 4))
        visible = layouts()["uneven"]
        assert not self.config.supports(op)
        with pytest.raises(ValueError, match=op.kind):
            self.run(case, visible, draw_inputs(case, visible))

    @pytest.mark.parametrize("kind", ["conv3d", "max_pool3d", "avg_pool3d"])
    def test_odd_cells_are_not_halved(self, kind: OperationKind) -> None:
        """A stride that does not divide the cell is refused."""
        case = make_case(kind, 2, 2, edge=(4, 3, 4))
        visible = layouts()["uneven"]
        with pytest.raises(ValueError, match=kind):
            self.run(case, visible, draw_inputs(case, visible))

    def test_voxels_are_not_refined(self, backend: SparseBackend) -> None:
        """Up-sampling past one site a voxel is refused."""
        cells = CellGrid(layouts()["uneven"].to(self.device), cell=(4, 4, 4))
        features = torch.zeros(cells.n, 4, 4, 4, 2, dtype=self.dtype, device=self.device)
        x = SparseVolume(features, cells, (1, 1, 1), backend)
        with pytest.raises(ValueError, match="interpolate"):
            backend.interpolate(x, scale=(2, 2, 2))

    def test_wrong_channels_are_refused(self) -> None:
        """A weight for another number of channels is refused with both numbers."""
        case, visible = make_case("conv3d", 3), layouts()["uneven"]
        inputs = draw_inputs(case, visible)
        with pytest.raises(ValueError, match="channels"):
            self.run(case, visible, inputs._replace(weight=inputs.weight[:, :3]))

    def test_name(self, backend: SparseBackend) -> None:
        """The backend answers as its config does."""
        assert backend.name == self.config.name
        assert all(backend.supports(c.op) == self.config.supports(c.op) for c in CASES)
