"""The token mixer exactly as the authors' public code has it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.geometry import Triple, product, quotient, times
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d_plugins.waveformer.attention import TokenAttention
from ssl3d_plugins.waveformer.boxes import boxes_of, like
from ssl3d_plugins.waveformer.levels import factors_of
from ssl3d_plugins.waveformer.tokens import raster
from ssl3d_plugins.waveformer.wavelet import analyse
from ssl3d_plugins.waveformer.windows import all_windows, windows_of


class PublishedMixer(nn.Module):
    """`PyramidMixer` without what it mends.

    Attention reads orthonormal coefficients, the results of windows are laid out in the order of
    windows, and each level is up-sampled at once. On visible cells the whole grid is filled with
    zeros for these two, as the definition of a sparse operation has it, and up-sampling divides by
    the visible share of its weights.
    """

    def __init__(
        self,
        channels: int,
        *,
        levels: Triple,
        attention: TokenAttention,
        window: Triple,
        eps: float,
    ) -> None:
        super().__init__()
        self.levels = levels
        self.window = window
        self.norm = nn.LayerNorm(channels, eps=eps)
        self.attention = attention

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same shape as the input."""
        boxes = boxes_of(x)
        level = like(x, self.norm(boxes))
        total, factor = boxes, (1, 1, 1)
        for step in factors_of(self.levels):
            smooth, _ = analyse(boxes_of(level), factor=step)
            factor = times(factor, step)
            level = (
                level.with_features(smooth, stride=times(level.stride, step))
                if isinstance(level, SparseVolume)
                else like(level, smooth)
            )
            total = total + boxes_of(up_at_once(self._attend(level), factor=factor))
        if not any(self.levels):
            total = total + boxes_of(self._attend(level))
        return like(x, total)

    def _attend(self, x: FeatureMap) -> FeatureMap:
        """Each site with the others of its window, and then out of its place."""
        boxes = boxes_of(x)
        mixed: Tensor = self.attention(boxes.flatten(0, 3), windows_of(x, window=self.window))
        return displaced(like(x, mixed.view_as(boxes)), window=self.window)


def displaced(x: FeatureMap, *, window: Triple) -> FeatureMap:
    """The sites in the order of windows, laid out as if that were their order in the grid."""
    dense = x.to_dense() if isinstance(x, SparseVolume) else x
    grid: Triple = (dense.shape[2], dense.shape[3], dense.shape[4])
    places = raster(grid, device=dense.device)
    one = torch.zeros(product(grid), dtype=torch.long, device=dense.device)
    windows = all_windows(one, places, batch=1, grid=grid, window=window)
    assert windows.slots is not None
    moved = dense.flatten(2).index_select(2, windows.slots.argsort()).view_as(dense)
    return _of_kind(moved, like=x)


def up_at_once(x: FeatureMap, *, factor: Triple) -> FeatureMap:
    """Trilinear up-sampling by any factor (align_corners=False), without the hidden sites."""
    scale = [float(f) for f in factor]

    def up(dense: Tensor) -> Tensor:
        return F.interpolate(dense, scale_factor=scale, mode="trilinear", align_corners=False)

    if not isinstance(x, SparseVolume):
        return up(x)
    ones = x.map(lambda features: torch.ones_like(features[..., :1]))
    stride = quotient(x.stride, factor)
    features, share = (x.cells.gather(up(y.to_dense()), stride=stride) for y in (x, ones))
    return x.with_features(features / share, stride=stride)


def _of_kind(dense: Tensor, *, like: FeatureMap) -> FeatureMap:
    """The visible cells of a dense map at the stage of `like`, or the map."""
    if isinstance(like, SparseVolume):
        return like.with_features(like.cells.gather(dense, stride=like.stride))
    return dense
