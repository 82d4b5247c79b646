"""A sparse backend under test, and what it should give: computed by the definition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from unittest import SkipTest

import torch
from torch import Tensor

from ssl3d.sparse import CellGrid, SparseBackend
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.testing.check import refused
from ssl3d.testing.sparse_cases import Case, Inputs, draw_inputs
from ssl3d.testing.sparse_run import Results, assert_close, by_definition, down_and_up, run


@dataclass(frozen=True)
class SparseBackendUnderTest:
    """A backend and where it computes.

    Attributes:
        config: the backend under test.
        dtype: what it computes in; float32 for a library that has no float64.
        tolerance: largest difference from the definition, as a share of its largest value (or of
            1 where that is smaller): 1e-9 for float64; about 1e-4 suits float32.
        device: where it computes.
    """

    config: SparseBackendConfig
    dtype: torch.dtype = torch.float64
    tolerance: float = 1e-9
    device: str = "cpu"

    @cached_property
    def backend(self) -> SparseBackend:
        """Raises what `build` raises."""
        return self.config.build()

    def needs(self, *cases: Case) -> None:
        """Raise SkipTest where the library lacks an operation; `definition` tries the refusal."""
        for case in cases:
            for problem in self.config.problems(case.op):
                raise SkipTest(f"{self.config.name}: {problem}")

    def grid(self, case: Case, visible: Tensor) -> CellGrid:
        """The cells of a case on the device under test."""
        return CellGrid(visible.to(self.device), cell=case.cell)

    def run(
        self, case: Case, visible: Tensor, inputs: Inputs, *, order: Tensor | None = None
    ) -> Results:
        """Values and gradients of the backend under test."""
        cells = self.grid(case, visible)
        return run(self.backend, case, inputs, cells=cells, dtype=self.dtype, order=order)

    def expected(
        self, case: Case, visible: Tensor, inputs: Inputs, *, dtype: torch.dtype = torch.float64
    ) -> Results:
        """Values and gradients by the definition, on the CPU."""
        cells = CellGrid(visible, cell=case.cell)
        return run(self.backend, case, inputs, cells=cells, dtype=dtype, compute=by_definition)

    def compare(
        self,
        case: Case,
        visible: Tensor,
        *,
        inputs: Inputs | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> float:
        """Largest error of values and gradients; a case that the library lacks must be refused.

        Args:
            case: operation and size of the cells.
            visible: (B, Gd, Gh, Gw) bool.
            inputs: random by default.
            dtype: of the definition's computation.
        """
        inputs = draw_inputs(case, visible) if inputs is None else inputs
        if not self.config.supports(case.op):
            with refused(f"{case}, which is not supported", naming=case.op.kind):
                self.run(case, visible, inputs)
            return 0.0
        expected = self.expected(case, visible, inputs, dtype=dtype)
        return assert_close(self.run(case, visible, inputs), expected, tolerance=self.tolerance)

    def through(self, cases: Sequence[Case], visible: Tensor) -> tuple[Results, Results]:
        """What a small encoder and decoder gives, and what it should."""
        self.needs(*cases)
        cells = CellGrid(visible, cell=cases[0].cell)
        expected = down_and_up(self.backend, cases, cells=cells, compute=by_definition)
        cells = self.grid(cases[0], visible)
        return down_and_up(self.backend, cases, cells=cells, dtype=self.dtype), expected
