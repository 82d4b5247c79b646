"""Views: which crops of a sample the encoder sees, and what is hidden of each."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ssl3d.geometry import Triple, quotient
from ssl3d.kinds.level import Level
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.view import Region, View
from ssl3d.plugin.config import ComponentConfig
from ssl3d.sparse.hidden import described
from ssl3d.streams import Seeds

Made = tuple[tuple[View, ...], ...]
"""The views of a sample: of each level."""


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
    def __call__(self, region: Region, *, masker: Masker, seeds: Seeds) -> Made:
        """The views of each level; `levels` says how many, and of which size.

        Args:
            region: what data cut.
            masker: draws what is hidden, see `draw_hidden`.
            seeds: all randomness comes from them.
        """


def views_of(region: Region, *, views: Views, masker: Masker, seeds: Seeds) -> Made:
    """The views of a sample, compared with what is announced of them.

    Raises:
        ValueError: there are more or fewer than `levels` says, they have other sizes, or show a
            cell that they hide; names them. Or they cannot be made of this region.
    """
    made, name = views(region, masker=masker, seeds=seeds), f"views {views.config.name!r}"
    counts, announced = [len(own) for own in made], [level.count for level in views.levels]
    if counts != announced:
        raise ValueError(f"{name} gives {counts} views of its levels: it announces {announced}")
    for number, (own, level) in enumerate(zip(made, views.levels, strict=True)):
        grid, read = quotient(level.size, views.cell), _size_read(own[0], level=level)
        sizes = (read, *[grid] * (1 + len(level.hidden)))
        wanted = (read, *(f"torch.bool of shape {size} on cpu" for size in sizes))
        for view in own:
            cells = (view.valid, view.visible, *view.hidden)
            given = (tuple(view.volume.shape[1:]), *map(described, cells))
            if given != wanted:
                raise ValueError(
                    f"{name}: a view of level {number} has volume, valid, visible and hidden of "
                    f"{given}: it must have {wanted}"
                )
            if bool((view.visible & view.hidden[0]).any()):
                raise ValueError(f"{name}: a view of level {number} shows a cell that it hides")
    return made


def _size_read(view: View, *, level: Level) -> Triple:
    """Voxels per axis of all views of a level, by the first: at most the level's."""
    d, h, w = view.volume.shape[1:]
    smaller = all(0 < edge <= most for edge, most in zip((d, h, w), level.size, strict=True))
    return (d, h, w) if smaller else level.size
