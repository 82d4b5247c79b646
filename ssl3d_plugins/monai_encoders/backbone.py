"""A dense network as a backbone: its own forward on tensors, its steps on visible cells."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ssl3d.geometry import Stage
from ssl3d.interfaces import Backbone
from ssl3d.volume import FeatureMap, SparseVolume
from ssl3d_plugins.monai_encoders.leaves import see_visible_only
from ssl3d_plugins.monai_encoders.program import trace


class TracedBackbone(Backbone):
    """Serves any network of convolutions, pools, norms, activations and sums.

    Args:
        network: maps (B, C, D, H, W) to a tuple of feature maps, fine to coarse. Its norms are
            replaced by ones that are equal on tensors.
        stages: stride and channels of each map.

    Raises:
        ValueError: the network has a part without a form on visible cells; names it.
    """

    def __init__(self, network: nn.Module, *, stages: Sequence[Stage]) -> None:
        super().__init__()
        see_visible_only(network)
        self.network = network
        self.stages = tuple(stages)
        self.program = trace(network)

    def forward(self, volume: FeatureMap) -> tuple[FeatureMap, ...]:
        """One feature map per stage, of the kind that was given."""
        if isinstance(volume, SparseVolume):
            return self.program.run(self.network, volume)
        features: tuple[FeatureMap, ...] = self.network(volume)
        return features
