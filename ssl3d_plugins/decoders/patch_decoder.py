"""The decoder `patch`: each site of the deepest stage becomes its own voxels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ssl3d.geometry import Stage, quotient
from ssl3d.kinds.decoder import Decoder, DecoderOutput
from ssl3d.sparse import FeatureMap
from ssl3d.sparse.layers import ConvTranspose3d, LayerNorm
from ssl3d_plugins.decoders.densify import Densify
from ssl3d_plugins.decoders.patch_config import Patch
from ssl3d_plugins.decoders.scales import finer_strides


class PatchDecoder(Decoder):
    """See `Patch` for the options.

    Widths fall geometrically from the stage's to twice the outputs, as in Primus.

    Args:
        config: the options.
        stages: of the backbone, fine to coarse; it reads the last one.
        out_channels: of the volume.
        sparse: False where the stages are dense maps.
    """

    heads = ("up.*", "head.*")

    def __init__(
        self,
        config: Patch,
        *,
        stages: Sequence[Stage],
        out_channels: int,
        sparse: bool,
    ) -> None:
        super().__init__()
        width, stride = stages[-1].channels, stages[-1].stride
        self.densify = Densify(width, width=width, kernel=1, norm=None, token=sparse)
        strides, widths = [stride], [width]
        if config.head == "transposed" and max(stride) > 1:
            strides += finer_strides(stride)[:-1]
            shrink = max(1.0, (width / (2 * out_channels)) ** (1 / len(strides)))
            widths = [max(1, int(width / shrink**i)) for i in range(len(strides))]
        self.up = nn.Sequential()
        for (before, after), (coarse, fine) in zip(
            pairwise(widths), pairwise(strides), strict=True
        ):
            factor = quotient(coarse, fine)
            self.up.append(ConvTranspose3d(before, after, kernel=factor, stride=factor))
            self.up.append(LayerNorm(after))
            self.up.append(nn.GELU())
        # Kernel = stride: a linear map from each site to its own voxels.
        self.head = ConvTranspose3d(
            widths[-1], out_channels, kernel=strides[-1], stride=strides[-1]
        )

    def forward(self, stages: Sequence[FeatureMap]) -> DecoderOutput:
        """The deepest map to the scale before the voxels, and the volume at full resolution."""
        features: Tensor = self.up(self.densify(stages[-1]))
        return DecoderOutput(features=features, volume=self.head(features))
