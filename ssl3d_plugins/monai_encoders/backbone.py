"""A dense network as a backbone: its own forward on tensors, its steps on visible cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ssl3d.geometry import Stage
from ssl3d.kinds.backbone import Backbone
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.weights import TransferReport, transfer
from ssl3d_plugins.monai_encoders.config import Monai
from ssl3d_plugins.monai_encoders.leaves import see_visible_only
from ssl3d_plugins.monai_encoders.program import trace


class TracedBackbone(Backbone):
    """Serves any network of convolutions, pools, norms, activations and sums.

    Args:
        network: maps (B, C, D, H, W) to a tuple of feature maps, fine to coarse. Its norms are
            replaced by ones that are equal on tensors.
        stages: stride and channels of each map.
        unused: patterns (`conv_final.*`) of names in weights of the whole network that its encoder
            does not have.
        in_channels: of the volume; None: not compared.

    Raises:
        ValueError: the network has a part without a form on visible cells; names it.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        stages: Sequence[Stage],
        unused: Sequence[str] = (),
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        see_visible_only(network)
        self.network = network
        self.stages = tuple(stages)
        self.in_channels = in_channels
        self.unused = tuple(unused)
        self.program = trace(network)

    def forward(self, volume: FeatureMap) -> tuple[FeatureMap, ...]:
        """One feature map per stage, of the kind that was given."""
        if isinstance(volume, SparseVolume):
            return self.program.run(self.network, volume)
        features: tuple[FeatureMap, ...] = self.network(volume)
        return features

    def load_weights(self, weights: Mapping[str, Tensor]) -> TransferReport:
        """As every backbone, and from weights of the network itself, whose head is left out."""
        if any(name.startswith("network.") for name in weights):
            return transfer(weights, self)
        return transfer(weights, self.network, allow_unexpected=self.unused)


class MonaiBackbone(TracedBackbone):
    """MONAI's network with MONAI's initialisation; the options are `Monai`'s."""

    def __init__(self, config: Monai, *, in_channels: int) -> None:
        network = config.network
        super().__init__(
            network.network(in_channels=in_channels),
            stages=network.stages(),
            unused=network.unused,
            in_channels=in_channels,
        )
