"""Options of the loss `mse`."""

from __future__ import annotations

from typing import Literal

from ssl3d.kinds.loss_config import LossConfig, Need


class MSE(LossConfig):
    """Mean squared error of the restored voxels, over hidden patches; see `RestorationLoss`."""

    builds = "ssl3d_plugins.losses.restoration:MSELoss"
    name: Literal["mse"] = "mse"

    def needs(self) -> frozenset[Need]:
        """A restored volume."""
        return frozenset({"restoration"})
