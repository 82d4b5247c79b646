"""What the options of views are, and what validation asks of them. Imports no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from ssl3d.geometry import Triple
from ssl3d.kinds.level import Level
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.plugin.config import ComponentConfig, Problem

if TYPE_CHECKING:
    from ssl3d.kinds.views import Views


class ViewsConfig(ComponentConfig):
    """Options of views.

    Attributes:
        places: True where views of some levels lie in those of the level before.
        partners: True where a region holds two volumes, first the channels of one and then those of
            the other, and so does a view: the encoder sees the first, and both are restored.
        unchanged: why the method leaves crops as they are, in words: `data.augment` is refused
            then. Empty: they may be changed.
    """

    kind: ClassVar[str] = "views"
    makes: ClassVar[str] = "ssl3d.kinds.views:Views"
    answers: ClassVar[tuple[str, ...]] = ("levels", "extent", "problems")
    places: ClassVar[bool] = False
    partners: ClassVar[bool] = False
    unchanged: ClassVar[str] = ""

    @abstractmethod
    def levels(self, patch: Triple, *, cell: Triple, masker: MaskerConfig) -> tuple[Level, ...]:
        """The levels of views that are made of a patch; `problems` has nothing against it."""

    def extent(self, patch: Triple) -> Triple:
        """The region that data cut for a sample, in voxels."""
        return patch

    def problems(
        self,
        *,
        patch: Triple,  # noqa: ARG002
        cell: Triple,  # noqa: ARG002
        masker: MaskerConfig,  # noqa: ARG002
    ) -> Iterable[Problem]:
        """What cannot work with the rest of a spec."""
        return ()

    def build(self, *, patch: Triple, cell: Triple, masker: MaskerConfig) -> Views:
        """Make the views."""
        levels, extent = self.levels(patch, cell=cell, masker=masker), self.extent(patch)
        views: Views = self._make(cell=cell, levels=levels, extent=extent)
        return views
