"""The losses `mse` and `l1`."""

from __future__ import annotations

from torch import Tensor

from ssl3d.masked.restoration import RestorationLoss
from ssl3d_plugins.losses.restoration_config import L1, MSE


class _Configured(RestorationLoss):
    config: MSE | L1

    @property
    def over_patches(self) -> bool:
        """As the option `over` says."""
        return self.config.over == "patches"


class MSELoss(_Configured):
    """Squared error; about 1 for the trivial predictor of normalised patches."""

    def error(self, difference: Tensor) -> Tensor:
        """difference²."""
        return difference.square()


class L1Loss(_Configured):
    """Absolute error."""

    def error(self, difference: Tensor) -> Tensor:
        """|difference|."""
        return difference.abs()
