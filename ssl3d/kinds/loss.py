"""A loss: a term of what is minimised."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssl3d.geometry import Stage
from ssl3d.kinds.output import PretrainOutput
from ssl3d.plugin.config import ComponentConfig


class Loss(nn.Module, ABC):
    """A term of the training loss, for a backbone of these stages."""

    def __init__(self, config: ComponentConfig, *, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.config = config
        self.stages = tuple(stages)

    @abstractmethod
    def forward(
        self, output: PretrainOutput, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Named scalars: `loss` is optimised, the others are logged.

        `generator` is a CPU generator for losses that sample.
        """

    def measurable(self, output: PretrainOutput) -> Tensor:
        """(B,) bool: samples in which there is something to measure.

        By default those that hide something; never others. Where `forward` finds none it gives 0,
        which is no measurement: means over a run leave it out.
        """
        return output.levels.levels[0].flatten(1).any(1)
