"""Patch embedding and patch merging: a convolution whose kernel is its stride."""

from __future__ import annotations

from torch.nn import functional as F

from ssl3d.geometry import quotient
from ssl3d.sparse import FeatureMap, SparseVolume, split_cells
from ssl3d.sparse.layers import Conv3d


class PatchConv(Conv3d):
    """k = s convolution to channels-last features.

    On a dense volume it is one product of patches and weights: on CPUs that takes half the time of
    the general convolution for one input channel, and leaves the result channels-last.
    """

    def forward(self, x: FeatureMap) -> FeatureMap:  # type: ignore[override]
        """(B, I, D, H, W) or its visible cells to O channels at `stride` times the stride."""
        if isinstance(x, SparseVolume):
            return super().forward(x)
        b, _, *size = x.shape
        d, h, w = quotient((size[0], size[1], size[2]), self.factor)
        patches = split_cells(x, cell=self.factor).flatten(1)
        weight = self.weight.movedim(1, -1).flatten(1)
        return F.linear(patches, weight, self.bias).view(b, d, h, w, -1).movedim(-1, 1)
