"""Weights of Primus: from checkpoints of its own networks, and to nnU-Net's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.tasks.finetune.encoder_weights import backbone_from_file, pretrained_backbone
from ssl3d.tasks.pretrain.export import export_encoder
from ssl3d.testing.backbone_under_test import randomise
from ssl3d_plugins.primus import Primus
from ssl3d_plugins.primus.package import TABLE, from_package, to_package

SMALL = {"name": "primus", "width": 12, "depth": 1, "heads": 2, "patch": 8, "volume": 16}


def of_another_project(config: Primus, *, channels: int = 1) -> dict[str, torch.Tensor]:
    """A state dict as nnssl and nnU-Net have them: with a decoder beside the encoder."""
    network = config.build(in_channels=channels)
    randomise(network)
    beside = {"mask_token": torch.zeros(1, 1, 12), "up_projection.decode.2.bias": torch.zeros(2)}
    return {**network.state_dict(), **beside, "decoder.norm.weight": torch.ones(12)}


def encoder_of(options: dict[str, Any], *, out: Path, patch: int, **data: Any) -> Path:
    """The folder of an encoder with other weights than initial ones."""
    spec = ExperimentSpec(
        backbone=options, data={"volumes": "nowhere", "patch": patch, **data}, losses=["mse"]
    )
    module = spec.build().backbone
    randomise(module)
    return export_encoder(module.state_dict(), spec=spec, out=out, step=5).parent


def test_the_encoder_of_a_checkpoint_is_taken_and_its_decoder_is_left_over() -> None:
    config = Primus(**SMALL)
    weights, backbone = of_another_project(config), config.build(in_channels=1)
    report = backbone.load_weights(weights)
    assert report.unexpected == ("mask_token", "up_projection.decode.2.bias", "decoder.norm.weight")
    assert not report.resized
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, weights[name]), name
    other = config.build(in_channels=1)
    to_package(backbone, network=other)
    for name, value in other.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_a_table_of_another_cube_is_interpolated_and_the_report_says_so() -> None:
    weights = of_another_project(Primus(**SMALL))
    backbone = Primus(**{**SMALL, "volume": (8, 24, 16)}).build(in_channels=1)
    report = backbone.load_weights(weights)
    assert f"1 interpolated: {TABLE} (2 × 2 × 2 tokens to 1 × 3 × 2)" in str(report)
    volume = torch.randn(1, 1, 8, 24, 16)
    same = Primus(**SMALL).build(in_channels=1)
    same.load_weights(weights)
    torch.testing.assert_close(backbone(volume)[0], same(volume)[0])
    back = Primus(**SMALL).build(in_channels=1)
    to_package(backbone, network=back, grids=((1, 3, 2), (2, 2, 2)))


def test_a_table_that_is_no_cube_needs_its_grid() -> None:
    weights = of_another_project(Primus(**{**SMALL, "volume": (8, 24, 16)}))
    backbone = Primus(**SMALL).build(in_channels=1)
    with pytest.raises(ValueError, match=rf"of another shape: {TABLE} \(source \(1, 6, 12\)"):
        backbone.load_weights(weights)
    report = from_package(weights, backbone=backbone, grid=(1, 3, 2))
    assert report.resized


def test_fine_tuning_from_a_file_says_that_it_interpolated(tmp_path: Path) -> None:
    torch.save({"network_weights": of_another_project(Primus(**SMALL))}, tmp_path / "net.pth")
    config = Primus(**{**SMALL, "volume": 24})
    _, found = backbone_from_file(
        tmp_path / "net.pth", config=config, file_channels=1, in_channels=1
    )
    assert (TABLE, "adapted", "2 × 2 × 2 tokens to 3 × 3 × 3") in found.table()


def test_registers_are_refused() -> None:
    weights = of_another_project(Primus(**SMALL)) | {"register_tokens": torch.zeros(1, 1, 12)}
    with pytest.raises(ValueError, match="Refused: register_tokens"):
        Primus(**SMALL).build(in_channels=1).load_weights(weights)


def test_other_channels(tmp_path: Path) -> None:
    weights, backbone = of_another_project(Primus(**SMALL)), Primus(**SMALL).build(in_channels=3)
    with pytest.raises(ValueError, match="1 in the weights, 3 in this encoder"):
        backbone.load_weights(weights)
    report = from_package(weights, backbone=backbone, average_inputs=True)
    assert report.adapted == ("down_projection.proj.weight",)
    one = Primus(**SMALL).build(in_channels=1)
    one.load_weights(weights)
    volume = torch.randn(1, 1, 16, 16, 16)
    torch.testing.assert_close(backbone(volume.expand(-1, 3, -1, -1, -1))[0], one(volume)[0])
    torch.save({"network_weights": weights}, tmp_path / "net.pth")
    _, found = backbone_from_file(
        tmp_path / "net.pth",
        config=Primus(**SMALL),
        file_channels=1,
        in_channels=2,
        inputs="repeat",
    )
    assert ("down_projection.proj.weight", "adapted", "1 input channels to 2: repeat") in (
        found.table()
    )
    assert ("decoder.norm.weight", "left over", "not used") in found.table()


def test_an_encoder_of_a_run_for_another_patch(tmp_path: Path) -> None:
    run = encoder_of(SMALL, out=tmp_path / "run", patch=16)
    module, found = pretrained_backbone(run, in_channels=1, patch=(16, 24, 32))
    assert found.table() == []
    assert module(torch.zeros(1, 1, 16, 24, 32))[0].shape == (1, 12, 2, 3, 4)


def test_the_contract_of_nnssl(tmp_path: Path) -> None:
    """Field by field; the network itself is compared where timm is (test_primus_live)."""
    run = encoder_of(
        {"name": "primus", "size": "S", "volume": 16},
        out=tmp_path / "run",
        patch=24,
        spacing=(3.0, 1.0, 1.0),
    )
    done = ssl3d.export(run, to="nnssl")
    content = torch.load(done.out / "nnssl.pth", weights_only=True)
    plan, weights = content["nnssl_adaptation_plan"], content["network_weights"]
    assert plan == {
        "architecture_plans": {
            "arch_class_name": "PrimusS",
            "arch_kwargs": None,
            "arch_kwargs_requiring_import": None,
        },
        "pretrain_plan": {
            "configurations": {"ssl3d": {"spacing": [3.0, 1.0, 1.0], "patch_size": [24, 24, 24]}}
        },
        "pretrain_num_input_channels": 1,
        "recommended_downstream_patchsize": [24, 24, 24],
        "key_to_encoder": "eva",
        "key_to_stem": "down_projection",
        "keys_to_in_proj": ["down_projection.proj"],
        "key_to_lpe": "eva.pos_embed",
    }
    assert weights[plan["key_to_lpe"]].shape == (1, 27, 396)
    for key in plan["keys_to_in_proj"]:
        assert weights[f"{key}.weight"].shape == (396, 1, 8, 8, 8)
    assert any("from 2 × 2 × 2 tokens to the 3 × 3 × 3" in note for note in done.card["notes"])
    assert max(done.card["compared"]["differences"]) < 1e-5


@pytest.mark.parametrize("changed", [{"heads": 6}, {"patch": 4}, {"depth": 2}])
def test_nnunet_has_no_other_primus(tmp_path: Path, changed: dict[str, int]) -> None:
    options = {**SMALL, "width": 396, "heads": 6, "depth": 1, **changed}
    run = encoder_of(options, out=tmp_path / "run", patch=16)
    with pytest.raises(ValueError, match="nnU-Net has Primus of the sizes S, B, M, L"):
        ssl3d.export(run, to="nnssl")
