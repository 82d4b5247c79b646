"""From each site of a dense map to its own voxels, by transposed convolutions."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from ssl3d.geometry import Stage, finer_strides, quotient
from ssl3d.sparse.layers.conv import ConvTranspose3d
from ssl3d.sparse.layers.norm import LayerNorm


class PatchUp(nn.Module):
    """The decoder of Primus (arXiv 2503.01835): doublings with a layer norm and GELU between them.

    Widths fall geometrically from the stage's to twice the outputs, in multiples of 8.

    Args:
        stage: of the map.
        out_channels: of the volume.
        linear: True: one linear map from a site to its voxels in place of the doublings.
    """

    def __init__(self, stage: Stage, *, out_channels: int, linear: bool = False) -> None:
        super().__init__()
        strides, widths = [stage.stride], [stage.channels]
        if not linear and max(stage.stride) > 1:
            strides += finer_strides(stage.stride)[:-1]
            shrink = max(1.0, (stage.channels / (2 * out_channels)) ** (1 / len(strides)))
            finer = (stage.channels / shrink**i for i in range(1, len(strides)))
            widths += [max(8, 8 * round(width / 8)) for width in finer]
        self.up = nn.Sequential()
        for (before, after), (coarse, fine) in zip(
            pairwise(widths), pairwise(strides), strict=True
        ):
            factor = quotient(coarse, fine)
            self.up.append(ConvTranspose3d(before, after, kernel=factor, stride=factor))
            self.up.append(LayerNorm(after, eps=1e-6))
            self.up.append(nn.GELU())
        # Kernel = stride: a linear map from each site to its own voxels.
        last = strides[-1]
        self.head = ConvTranspose3d(widths[-1], out_channels, kernel=last, stride=last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, D, H, W) to the scale before the voxels, and to the volume."""
        features: Tensor = self.up(x)
        return features, self.head(features)
