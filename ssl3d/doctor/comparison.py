"""A sparse backend's values and gradients against the dense reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ssl3d.doctor.check import NotThere, Wrong
from ssl3d.doctor.components import default_config
from ssl3d.doctor.reference import Problem, Solution, Values, densely, directly, solve
from ssl3d.geometry import Operation
from ssl3d.plugin.registry import Registry
from ssl3d.sparse import SparseBackend
from ssl3d.sparse.backend_config import SparseBackendConfig

TOLERANCE = 1e-3
"""Of the largest value expected, for single precision; a wrong result is off by far more."""


@dataclass(frozen=True)
class Subject:
    """The backend that is tried, and where; it is looked up and built on first use."""

    registry: Registry
    name: str
    device: torch.device

    @cached_property
    def config(self) -> SparseBackendConfig:
        """With its default options; raises NotThere where one has no default."""
        config = default_config(self.registry, kind="sparse_backend", name=self.name)
        assert isinstance(config, SparseBackendConfig)
        return config

    @cached_property
    def backend(self) -> SparseBackend:
        """Raises what `build` raises."""
        return self.config.build()

    def need(self, *operations: Operation) -> None:
        """Raise NotThere for the first operation that the library lacks."""
        for op in operations:
            for problem in self.config.problems(op):
                raise NotThere(problem)


def compare(subject: Subject, problem: Problem, *, dtype: torch.dtype = torch.float64) -> Errors:
    """Solve a problem on the backend in single precision, and densely on the CPU in `dtype`.

    Raises:
        NotThere: the library lacks an operation of the network.
    """
    subject.need(*problem.network.operations())
    cpu, backend = torch.device("cpu"), subject.backend
    want = solve(problem, backend=backend, apply=densely, device=cpu, dtype=dtype)
    got = solve(
        problem, backend=backend, apply=directly, device=subject.device, dtype=torch.float32
    )
    return Errors(got, want)


@dataclass(frozen=True)
class Errors:
    """What came out, and what should have."""

    got: Solution
    want: Solution

    def values(self) -> float:
        """Largest error of the result; raises Wrong where it is too large."""
        return largest(self.got.values, self.want.values)

    def gradients(self) -> float:
        """Largest error of a gradient; raises Wrong where it is too large."""
        named = [
            {f"the gradient of {name}": g for name, g in solution.gradients.items()}
            for solution in (self.got, self.want)
        ]
        return largest(named[0], named[1])

    def all(self) -> float:
        """Largest error of result and gradients; raises Wrong where it is too large."""
        return max(self.values(), self.gradients())


def largest(got: Values, want: Values) -> float:
    """Largest error as a share of the largest value (or of 1, where that is smaller).

    Raises:
        Wrong: one is missing, has another shape, is not finite or is off by more than TOLERANCE.
    """
    errors = [0.0]
    for name, expected in want.items():
        if name not in got:
            raise Wrong(f"{name} is missing")
        errors.append(_error(name, got[name], expected))
    return max(errors)


def _error(name: str, got: Tensor, want: Tensor) -> float:
    if got.shape != want.shape:
        raise Wrong(f"{name} has shape {tuple(got.shape)}, expected {tuple(want.shape)}")
    if not bool(got.isfinite().all()):
        raise Wrong(f"{name} is not finite")
    if not want.numel():
        return 0.0
    scale = max(1.0, float(want.abs().max()))
    error = float((got.to(want) - want).abs().max()) / scale
    if error > TOLERANCE:
        raise Wrong(
            f"{name} differs from the dense reference by {error:.1e} of its largest value, "
            f"allowed {TOLERANCE:.0e}"
        )
    return error
