"""A masker: what is hidden."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Generator, Tensor

from ssl3d.geometry import Triple
from ssl3d.plugin.config import ComponentConfig


class Masker(ABC):
    """Draws which cells of one crop are hidden."""

    def __init__(self, config: ComponentConfig) -> None:
        self.config = config

    @property
    def name(self) -> str:
        """The name that specs use."""
        return self.config.name

    @abstractmethod
    def __call__(
        self, grid: Triple, *, sample: Generator, batch: Generator, hideable: Tensor
    ) -> tuple[Tensor, ...]:
        """Draw nested levels, each (Gd, Gh, Gw) bool on the CPU; `MaskerConfig.weights` of them.

        What is drawn depends on the arguments alone: nothing is kept from one draw to the next.

        Args:
            grid: cells per axis.
            sample: what differs from crop to crop is drawn from it.
            batch: what is alike in all crops of a micro-batch, such as a ratio; each of its crops
                comes with the same state.
            hideable: (Gd, Gh, Gw) bool, cells that may be hidden. What is drawn from either
                generator does not depend on it.

        Raises:
            ValueError: the grid has fewer than two cells, or cannot hold the asked blocks.
        """
