"""Options of the loss `mse`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ssl3d.geometry import Stage
from ssl3d.plugin.config import LossConfig, Need

if TYPE_CHECKING:
    from ssl3d_plugins.losses.restoration import MSELoss


class MSE(LossConfig):
    """Mean squared error of the restored voxels, over hidden patches; see `RestorationLoss`."""

    name: Literal["mse"] = "mse"

    def needs(self) -> frozenset[Need]:
        """A restored volume."""
        return frozenset({"restoration"})

    def build(self, *, stages: Sequence[Stage]) -> MSELoss:  # noqa: ARG002 (it looks at no stage)
        """Make the loss; it has no parameters."""
        from ssl3d_plugins.losses.restoration import MSELoss

        return MSELoss()
