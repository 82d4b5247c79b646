"""A loss: a term of what is minimised."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssl3d.geometry import Stage
from ssl3d.kinds.output import StepOutput
from ssl3d.plugin.config import ComponentConfig


class Loss(nn.Module, ABC):
    """A term of the training loss, for a backbone of these stages."""

    def __init__(self, config: ComponentConfig, *, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.config = config
        self.stages = tuple(stages)

    @abstractmethod
    def forward(self, step: StepOutput, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Named scalars over all views of a step: `loss` is optimised, the others are logged.

        Names are the same every time. Of what is predicted, hidden voxels that are valid count and
        no others. `step.mean` weights the levels of views. `generator` is a CPU generator for
        losses that sample.
        """

    def measurable(self, step: StepOutput) -> Tensor:
        """(B,) bool: samples in which there is something to measure.

        By default those that hide something; never others. Where `forward` finds none it gives 0,
        which is no measurement: means over a run leave it out.
        """
        return step.any_view(lambda view: view.batch.hidden.levels[0].flatten(1).any(1))

    def measurable_views(self, step: StepOutput) -> list[Tensor]:
        """(B,) bool for each level of views: `measurable` of its views alone."""
        return [self.measurable(StepOutput(step.batch, (view,))) for view in step.views]
