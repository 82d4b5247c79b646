"""The losses `mse` and `l1`."""

from __future__ import annotations

from torch import Tensor

from ssl3d.masked.restoration import RestorationLoss


class MSELoss(RestorationLoss):
    """Squared error; about 1 for the trivial predictor of normalised patches."""

    def error(self, difference: Tensor) -> Tensor:
        """difference²."""
        return difference.square()


class L1Loss(RestorationLoss):
    """Absolute error."""

    def error(self, difference: Tensor) -> Tensor:
        """|difference|."""
        return difference.abs()
