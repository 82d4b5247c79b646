"""Options of the losses `mse` and `l1`."""

from __future__ import annotations

from typing import Literal

from ssl3d.kinds.loss_config import LossConfig, Need


class MSE(LossConfig):
    """Mean squared error of the restored voxels, over hidden patches; see `RestorationLoss`."""

    builds = "ssl3d_plugins.losses.restoration_loss:MSELoss"
    name: Literal["mse"] = "mse"

    def needs(self) -> frozenset[Need]:
        """A restored volume."""
        return frozenset({"restoration"})


class L1(LossConfig):
    """Mean absolute error of the restored voxels, over hidden patches; see `RestorationLoss`."""

    builds = "ssl3d_plugins.losses.restoration_loss:L1Loss"
    name: Literal["l1"] = "l1"

    def needs(self) -> frozenset[Need]:
        """A restored volume."""
        return frozenset({"restoration"})
