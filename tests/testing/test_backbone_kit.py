"""The kit for backbones finds backbones with one thing wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from torch import Tensor

from ssl3d.geometry import Stage
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.testing.backbone import BackboneConformance
from ssl3d.weights import TransferReport, transfer
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.resunet.backbone import ResUNetBackbone

SMALL: dict[str, Any] = {"widths": (4, 6), "blocks": (1, 1)}


class CountsHidden(ResUNetBackbone):
    """Divides each channel by the root of its mean square over all sites, hidden zeros too."""

    def forward(self, volume: FeatureMap) -> tuple[FeatureMap, ...]:
        return tuple(map(_divided, super().forward(volume)))


def _divided(x: FeatureMap) -> FeatureMap:
    dense = x.to_dense() if isinstance(x, SparseVolume) else x
    dense = dense * dense.square().mean((2, 3, 4), keepdim=True).add(1e-5).rsqrt()
    if not isinstance(x, SparseVolume):
        return dense
    return SparseVolume.from_dense(dense, cells=x.cells, backend=x.backend, stride=x.stride)


class LeavesOut(ResUNetBackbone):
    """Leaves out weights of another shape and says nothing."""

    def load_weights(self, weights: Mapping[str, Tensor]) -> TransferReport:
        own = self.state_dict()
        wrong = [n for n, t in own.items() if n in weights and weights[n].shape != t.shape]
        fitting = {name: value for name, value in weights.items() if name not in wrong}
        return transfer(fitting, self, allow_missing=wrong)


class ConfigOfCountsHidden(ResUNet):
    def build(self, *, in_channels: int) -> ResUNetBackbone:
        return CountsHidden(self, in_channels=in_channels)


class ConfigOfLeavesOut(ResUNet):
    def build(self, *, in_channels: int) -> ResUNetBackbone:
        return LeavesOut(self, in_channels=in_channels)


class NamesNoNorm(ResUNet):
    def instance_norm_stages(self) -> tuple[Stage, ...]:
        return ()

    batch_norm_stages = instance_norm_stages


class NamesNorms(ResUNet):
    def instance_norm_stages(self) -> tuple[Stage, ...]:
        return self.stages()


FOUND = [
    (
        ConfigOfCountsHidden(**SMALL),
        "hidden_cells_count_nowhere",
        {"training": True},
        "more hidden cells around the grid: stage 0: differs",
    ),
    (ConfigOfLeavesOut(**SMALL), "its_own_weights_load", {}, r"of shape \(\d+,\) must raise"),
    (
        NamesNoNorm(**SMALL),
        "norms_are_what_the_config_says",
        {"samples": 2},
        "is an error, and the config says not so",
    ),
    (
        NamesNoNorm(**SMALL, norm="batch"),
        "norms_are_what_the_config_says",
        {"samples": 1},
        "is an error, and the config says not so",
    ),
    (
        NamesNorms(**SMALL, norm="batch"),
        "norms_are_what_the_config_says",
        {"samples": 2},
        "is no error, and the config says so",
    ),
]


@pytest.mark.parametrize(("config", "check", "arguments", "reason"), FOUND)
def test_what_is_wrong_is_found(
    config: BackboneConfig, check: str, arguments: dict[str, Any], reason: str
) -> None:
    kit = BackboneConformance()
    kit.config = config  # type: ignore[misc]
    with pytest.raises(AssertionError, match=reason):
        getattr(kit, f"test_{check}")(*[arguments] if arguments else [])
