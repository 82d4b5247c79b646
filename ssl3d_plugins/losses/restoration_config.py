"""Options of the losses `mse` and `l1`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ssl3d.kinds.loss_config import LossConfig, Need


class _Restoration(LossConfig):
    draws: ClassVar[bool] = False
    over: Literal["samples", "patches"] = Field(
        default="samples",
        description="mean over the hidden patches of each sample, then over samples; or over all "
        "hidden patches of the batch (of each rank), as SparK has it: they differ where samples "
        "hide unequal numbers",
    )

    def needs(self) -> frozenset[Need]:
        """A restored volume."""
        return frozenset({"restoration"})


class MSE(_Restoration):
    """Mean squared error of the restored voxels, over hidden patches; see `RestorationLoss`."""

    builds = "ssl3d_plugins.losses.restoration_loss:MSELoss"
    name: Literal["mse"] = "mse"


class L1(_Restoration):
    """Mean absolute error of the restored voxels, over hidden patches; see `RestorationLoss`."""

    builds = "ssl3d_plugins.losses.restoration_loss:L1Loss"
    name: Literal["l1"] = "l1"
