"""Views: which crops of a sample the encoder sees, and what is hidden of each."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ssl3d.geometry import Triple
from ssl3d.kinds.level import Level
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.view import Region, View
from ssl3d.plugin.config import ComponentConfig
from ssl3d.streams import Seeds


class Views(ABC):
    """Makes the views of one sample, in the process that loads it.

    Args:
        config: its options.
        cell: voxels per cell.
        levels: what its options make of the patch.
        extent: the region that data cut for a sample, in voxels.
    """

    def __init__(
        self, config: ComponentConfig, *, cell: Triple, levels: tuple[Level, ...], extent: Triple
    ) -> None:
        self.config = config
        self.cell = cell
        self.levels = levels
        self.extent = extent

    @abstractmethod
    def __call__(
        self, region: Region, *, masker: Masker, seeds: Seeds
    ) -> tuple[tuple[View, ...], ...]:
        """The views of each level; `levels` says how many, and of which size.

        Args:
            region: what data cut.
            masker: draws what is hidden, see `draw_hidden`.
            seeds: all randomness comes from them.
        """
