"""The decoder `patch`: each site of the deepest stage becomes its own voxels."""

from __future__ import annotations

from collections.abc import Sequence

from ssl3d.geometry import Stage
from ssl3d.kinds.decoder import Decoder, DecoderOutput
from ssl3d.sparse import FeatureMap
from ssl3d.sparse.layers import Densify, PatchUp
from ssl3d_plugins.decoders.patch_config import Patch


class PatchDecoder(Decoder):
    """See `Patch` for the options.

    Args:
        config: the options.
        stages: of the backbone, fine to coarse; it reads the last one.
        out_channels: of the volume.
        sparse: False where the stages are dense maps.
    """

    heads = ("voxels.*",)

    def __init__(
        self,
        config: Patch,
        *,
        stages: Sequence[Stage],
        out_channels: int,
        sparse: bool,
    ) -> None:
        super().__init__()
        deepest = stages[-1]
        width = deepest.channels
        self.densify = Densify(width, width=width, kernel=1, norm=None, token=sparse)
        self.voxels = PatchUp(deepest, out_channels=out_channels, linear=config.head == "linear")

    def forward(self, stages: Sequence[FeatureMap]) -> DecoderOutput:
        """The deepest map to the scale before the voxels, and the volume at full resolution."""
        return DecoderOutput(*self.voxels(self.densify(stages[-1])))
