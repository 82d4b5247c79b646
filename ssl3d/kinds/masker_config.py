"""What the options of a masker are, and what validation asks of them. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from ssl3d.geometry import Triple
from ssl3d.plugin.config import ComponentConfig, Problem

if TYPE_CHECKING:
    from ssl3d.kinds.masker import Masker


class MaskerConfig(ComponentConfig):
    """Options of a masker."""

    kind: ClassVar[str] = "masker"
    makes: ClassVar[str] = "ssl3d.kinds.masker:Masker"
    answers: ClassVar[tuple[str, ...]] = ("problems", "cautions", "weights", "fewest_visible")

    def problems(self, *, grid: Triple) -> Iterable[Problem]:  # noqa: ARG002
        """What cannot work on a grid of this many cells."""
        return ()

    def cautions(self, *, grid: Triple, cell: Triple) -> Iterable[Problem]:  # noqa: ARG002
        """What can run on a grid of these cells but is likely not what is wanted."""
        return ()

    def weights(self) -> tuple[float, ...]:
        """Weight in the restoration loss of each nested hidden level that it draws."""
        return (1.0,)

    @property
    def fixed_count(self) -> bool:
        """True where each crop without invalid voxels shows equally many cells."""
        return False

    def fewest_visible(self, grid: Triple) -> int | None:  # noqa: ARG002
        """The fewest cells that a crop without invalid voxels shows, None where unknown."""
        return None

    def build(self) -> Masker:
        """Make the masker."""
        masker: Masker = self._make()
        return masker
