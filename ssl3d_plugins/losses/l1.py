"""Options of the loss `l1`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ssl3d.geometry import Stage
from ssl3d.plugin.config import LossConfig, Need

if TYPE_CHECKING:
    from ssl3d_plugins.losses.restoration import L1Loss


class L1(LossConfig):
    """Mean absolute error of the restored voxels, over hidden patches; see `RestorationLoss`."""

    name: Literal["l1"] = "l1"

    def needs(self) -> frozenset[Need]:
        """A restored volume."""
        return frozenset({"restoration"})

    def build(self, *, stages: Sequence[Stage]) -> L1Loss:  # noqa: ARG002 (it looks at no stage)
        """Make the loss; it has no parameters."""
        from ssl3d_plugins.losses.restoration import L1Loss

        return L1Loss()
