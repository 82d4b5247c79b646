"""A masker: what is hidden."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d.plugin.config import ComponentConfig
from ssl3d.sparse import HiddenLevels


class Masker(ABC):
    """Draws which cells of each sample are hidden."""

    def __init__(self, config: ComponentConfig) -> None:
        self.config = config

    @property
    def name(self) -> str:
        """The name that specs use."""
        return self.config.name

    @abstractmethod
    def __call__(
        self,
        grid: Triple,
        *,
        batch_size: int,
        generator: torch.Generator,
        hideable: Tensor | None = None,
    ) -> HiddenLevels:
        """Draw nested levels, each (B, Gd, Gh, Gw) bool on the CPU.

        Args:
            grid: cells per axis.
            batch_size: samples, B.
            generator: a CPU generator, the only source of randomness. What is consumed does not
                depend on `hideable`, and row i of the result depends on row i of it alone: ranks
                draw for the global batch and keep their rows.
            hideable: (B, Gd, Gh, Gw) bool, cells that may be hidden; all by default.

        Raises:
            ValueError: the grid has fewer than two cells, or cannot hold the asked blocks.
        """
