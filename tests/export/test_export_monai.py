"""MONAI's own whole networks load the file and compute the same features."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

import pytest
import torch
from exported import encoder_of
from monai.networks.nets import ResNetFeatures, SegResNet

import ssl3d

SEGRESNET = {"name": "segresnet", "init_filters": 4, "num_groups": 4, "blocks_down": (1, 1, 2)}
RESNET = {"name": "resnet", "depth": 10, "block_inplanes": (4, 6, 8, 10)}


@pytest.mark.parametrize(
    "network",
    [
        SEGRESNET,
        {**SEGRESNET, "norm": "instance", "act": "gelu"},
        {**SEGRESNET, "blocks_down": (1,)},
        {**RESNET, "conv1_t_stride": 1, "conv1_t_size": 3},
        {**RESNET, "depth": 50, "no_max_pool": True},
    ],
    ids=["segresnet", "gelu", "one-stage", "resnet", "resnet-50"],
)
def test_every_network(tmp_path: Path, network: dict[str, Any]) -> None:
    run = encoder_of(
        {"name": "monai", "network": network}, out=tmp_path / "run", patch=(32, 32, 16)
    )
    card = ssl3d.export(run, to="monai").card
    assert max(card["compared"]["differences"]) < 1e-5
    kind = pkgutil.resolve_name(card["network"]["class"])
    kind(**card["network"]["arguments"])  # as the card says


def test_segresnet_is_made_as_the_card_says_and_gives_the_same(tmp_path: Path) -> None:
    run = encoder_of({"name": "monai", "network": SEGRESNET}, out=tmp_path / "run")
    done = ssl3d.export(run, to="monai")
    network = SegResNet(**done.card["network"]["arguments"], out_channels=3).eval()
    weights = torch.load(done.out / "monai.pth", weights_only=True)
    result = network.load_state_dict(weights, strict=False)
    assert not result.unexpected_keys
    assert {name.split(".")[0] for name in result.missing_keys} == {
        "up_layers",
        "up_samples",
        "conv_final",
    }
    volume = torch.randn(1, 1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for mine, theirs in zip(
            ssl3d.load_encoder(run)(volume), network.encode(volume)[1], strict=True
        ):
            torch.testing.assert_close(mine, theirs)


def test_resnet_gives_the_same_in_monais_feature_network(tmp_path: Path) -> None:
    network = {"name": "resnet", "depth": 10, "conv1_t_stride": 2, "bias_downsample": False}
    run = encoder_of(
        {"name": "monai", "network": network}, out=tmp_path / "run", patch=(64, 32, 32)
    )
    done = ssl3d.export(run, to="monai")
    theirs = ResNetFeatures("resnet10", pretrained=False).eval()
    theirs.load_state_dict(torch.load(done.out / "monai.pth", weights_only=True))
    volume = torch.randn(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for a, b in zip(ssl3d.load_encoder(run)(volume), theirs(volume), strict=True):
            torch.testing.assert_close(a, b)
