"""From the visible part of a stage to a dense map (SparK, arXiv 2301.03580, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.sparse.layers.conv import Conv3d
from ssl3d.sparse.layers.norm import NormKind, make_norm


class Densify(nn.Module):
    """Norm, learned token where cells are hidden, projection to the decoder's width.

    Args:
        channels: of the stage.
        width: of the decoder at this scale.
        kernel: of the projection: 1 at the deepest stage (none where widths match), 3 elsewhere.
        norm: over visible sites; None leaves it out.
        token: False fills hidden sites with zeros.
        epsilon: of the norm.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int,
        kernel: int,
        norm: NormKind | None,
        token: bool,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.norm = nn.Identity() if norm is None else make_norm(norm, channels, eps=epsilon)
        self.token = nn.Parameter(torch.empty(channels)) if token else None
        if self.token is not None:
            nn.init.trunc_normal_(self.token, std=0.02)
        self.projection = (
            nn.Identity()
            if kernel == 1 and channels == width
            else Conv3d(channels, width, kernel=kernel)
        )

    def forward(self, x: FeatureMap) -> Tensor:
        """Visible part of a stage, or a dense map, to (B, width, D, H, W)."""
        x = self.norm(x)
        if isinstance(x, SparseVolume):
            x = x.to_dense(fill=self.token)
        dense: Tensor = self.projection(x)
        return dense
