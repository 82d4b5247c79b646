"""What the model answers: a step with its losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl3d.kinds.output import StepOutput, Target
from ssl3d.sparse import CellGrid, FeatureMap, HiddenLevels


@dataclass(frozen=True, eq=False)
class PretrainOutput:
    """A step with its losses. What is said of a view is the first one's.

    Attributes:
        step: all views, encoded and restored.
        losses: label to scalar, unweighted.
        weights: label to its factor in the total.
        metrics: further scalars to log, without gradient.
    """

    step: StepOutput
    losses: Mapping[str, Tensor]
    weights: Mapping[str, float]
    metrics: Mapping[str, Tensor]

    @property
    def loss(self) -> Tensor:
        """The weighted sum of `losses`."""
        total = self.volume.new_zeros(())
        for label, value in self.losses.items():
            total = total + self.weights[label] * value
        return total

    @property
    def numbers(self) -> dict[str, Tensor]:
        """Losses under their labels and metrics under `label/...`, without gradient."""
        return {name: value.detach() for name, value in {**self.losses, **self.metrics}.items()}

    @property
    def volume(self) -> Tensor:
        """(B, C, D, H, W) as given, invalid voxels set to zero."""
        return self.step.views[0].batch.volume

    @property
    def valid(self) -> Tensor:
        """(B, D, H, W) bool, voxels that are data and not padding."""
        batch = self.step.views[0].batch
        if batch.valid is not None:
            return batch.valid
        return torch.ones_like(batch.volume[:, 0], dtype=torch.bool)

    @property
    def prediction(self) -> Tensor | None:
        """(B, C, D, H, W), in units of `target`; None where no loss needs a restoration."""
        decoded = self.step.views[0].decoded
        return None if decoded is None else decoded.volume

    @property
    def stages(self) -> tuple[FeatureMap, ...]:
        """The encoder's feature maps, fine to coarse."""
        return self.step.views[0].stages

    @property
    def levels(self) -> HiddenLevels:
        """Nested hidden cells, with their weights."""
        return self.step.views[0].batch.hidden

    @property
    def hidden(self) -> tuple[Tensor, ...]:
        """For each level (B, D, H, W) bool, in voxels. Level 0 holds all the others."""
        return self.levels.voxels(self.cells.cell)

    @property
    def cells(self) -> CellGrid:
        """What the encoder saw."""
        return self.step.views[0].batch.cells

    @property
    def target(self) -> Target:
        """What is restored."""
        return self.step.views[0].target
