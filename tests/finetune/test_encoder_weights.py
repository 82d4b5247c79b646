"""Encoders of runs and of other projects as backbones for fine-tuning."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ssl3d import ExperimentSpec
from ssl3d.tasks.finetune.encoder_weights import backbone_from_file, pretrained_backbone
from ssl3d.tasks.pretrain.export import export_encoder
from ssl3d_plugins.resunet import ResUNet

RESUNET = ResUNet(widths=(4, 8), blocks=(1, 1))


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    spec = ExperimentSpec(
        backbone=RESUNET, data={"volumes": "nowhere", "patch": 16}, masker="random"
    )
    weights = spec.build().backbone.state_dict()
    return export_encoder(weights, spec=spec, out=tmp_path / "encoder", step=7)


def test_the_same_channels_are_copied(encoder: Path) -> None:
    before = torch.get_rng_state()
    backbone, found = pretrained_backbone(encoder, in_channels=1, patch=(16, 16, 32))
    assert torch.equal(torch.get_rng_state(), before)
    assert found.table() == []
    volume = torch.randn(1, 1, 8, 8, 8)
    other, _ = pretrained_backbone(encoder.parent, in_channels=1, patch=(16, 16, 16))
    for one, two in zip(backbone.eval()(volume), other.eval()(volume), strict=True):
        assert torch.equal(one, two)


def test_other_channels_are_adapted_where_asked(encoder: Path) -> None:
    with pytest.raises(ValueError, match="pre-trained with 1 channels, now 3"):
        pretrained_backbone(encoder, in_channels=3, patch=(16, 16, 16))
    backbone, found = pretrained_backbone(
        encoder, in_channels=3, patch=(16, 16, 16), inputs="repeat"
    )
    assert backbone.in_channels == 3
    assert {what for _, what, _ in found.table()} == {"adapted"}


def test_a_file_of_another_project_says_what_is_left_over(tmp_path: Path) -> None:
    weights = {n: v.clone() for n, v in RESUNET.build(in_channels=1).state_dict().items()}
    save_file(
        {**weights, "decoder.seg_layers.0.weight": torch.zeros(1)}, tmp_path / "net.safetensors"
    )
    backbone, found = backbone_from_file(
        tmp_path / "net.safetensors", config=RESUNET, file_channels=1, in_channels=1
    )
    assert ("decoder.seg_layers.0.weight", "left over", "not used") in found.table()
    own = backbone.state_dict()
    assert all(torch.equal(own[name], value) for name, value in weights.items())


def test_a_folder_without_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no encoder"):
        pretrained_backbone(tmp_path, in_channels=1, patch=(16, 16, 16))
