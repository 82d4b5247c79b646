"""Normalisation whose statistics see visible sites only."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.sparse.layers.by_sample import norm_by_sample
from ssl3d.sparse.layers.one_site import OneSiteError
from ssl3d.sparse.layers.pointwise import on_channels
from ssl3d.sparse.layers.sync import OneSiteOfAllRanks, synchronised_batch_norm, world_size
from ssl3d.sparse.nothing import touching

NormKind = Literal["layer", "batch", "instance"]


class LayerNorm(nn.LayerNorm):
    """Over the channels of each site (Ba et al. 2016)."""

    def forward(self, x: FeatureMap) -> FeatureMap:  # type: ignore[override]
        """Same shape as the input."""
        return on_channels(x, super().forward)


class BatchNorm(nn.BatchNorm3d):
    """Over all visible sites of the batch, and of all ranks (Ioffe & Szegedy 2015).

    Raises:
        OneSiteError: one visible site only in training mode; the dense layer raises a ValueError
            too.
    """

    def forward(self, x: FeatureMap) -> FeatureMap:  # type: ignore[override]
        """Same shape as the input."""
        if not isinstance(x, SparseVolume):
            return self._normalise(x)
        # A rank that shows nothing still takes part in the reduction over ranks.
        alone = not self.training or world_size() == 1
        if alone and not x.cells.n:
            return x.with_features(touching(x.features, self.weight, self.bias))
        if alone and self.training and len(x.sites) == 1:
            raise self._one_site(x)
        try:
            return x.with_features(self._normalise(x.sites))
        except OneSiteOfAllRanks as error:
            raise self._one_site(x) from error

    def _one_site(self, x: SparseVolume) -> OneSiteError:
        return OneSiteError(
            "batch norm",
            of="the whole batch",
            stride=x.stride,
            counts=x.site_counts,
            advice="take a larger batch",
        )

    def _normalise(self, rows: Tensor) -> Tensor:
        """`rows` is (n, C) or (B, C, D, H, W)."""
        training = self.training or self.running_mean is None
        momentum = self.momentum or 0.0
        if training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # as torch: an average of all batches, which asks the device
                momentum = 1 / float(self.num_batches_tracked)
        normalise = synchronised_batch_norm if training and world_size() > 1 else F.batch_norm
        return normalise(
            rows,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training,
            momentum,
            self.eps,
        )


class InstanceNorm(nn.InstanceNorm3d):
    """Over the visible sites of each sample (Ulyanov et al. 2016).

    With a learned scale and shift, unless `affine` is False.

    Raises:
        OneSiteError: a sample shows one site only; the dense layer raises a ValueError too.
    """

    def __init__(self, channels: int, *, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__(channels, eps=eps, affine=affine)

    def forward(self, x: FeatureMap) -> FeatureMap:  # type: ignore[override]
        """Same shape as the input."""
        if not isinstance(x, SparseVolume):
            if x.shape[2:].numel() == 1:
                raise ValueError(
                    "instance norm sees one site of each volume, and one has no variance: take "
                    "volumes of twice this size on one axis at least, or batch norm"
                )
            return super().forward(x)
        if not x.cells.n:
            return x.with_features(touching(x.features, self.weight, self.bias))
        if 1 in x.site_counts:
            raise OneSiteError(
                "instance norm",
                of=f"sample {x.site_counts.index(1)} of the batch",
                stride=x.stride,
                counts=x.site_counts,
                advice="use batch norm",
            )
        normed = norm_by_sample(x.sites, self.weight, self.bias, counts=x.site_counts, eps=self.eps)
        return x.with_features(normed)


def make_norm(kind: NormKind, channels: int, *, eps: float = 1e-5) -> nn.Module:
    """A normalisation layer by name."""
    if kind == "layer":
        return LayerNorm(channels, eps=eps)
    if kind == "batch":
        return BatchNorm(channels, eps=eps)
    return InstanceNorm(channels, eps=eps)
