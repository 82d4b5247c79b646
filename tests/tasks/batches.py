"""Labelled batches for tests of tasks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ssl3d.geometry import Stage

STAGES = (Stage((2, 2, 2), 6), Stage((4, 4, 4), 10))


@dataclass
class Crops:
    """See `ssl3d.kinds.task.Labelled`."""

    volume: Tensor
    valid: Tensor | None = None
    labels: Tensor | None = None
    targets: Tensor | None = None

    @property
    def counts(self) -> tuple[int, ...]:
        """One row for each case."""
        return (1,) * len(self.volume)
