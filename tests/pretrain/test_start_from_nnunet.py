"""Runs that start from an nnU-Net checkpoint."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.weights import read_weights
from ssl3d_plugins.resunet.nnunet import from_nnunet

ResidualEncoderUNet = pytest.importorskip(
    "dynamic_network_architectures.architectures.unet",
    reason="needs nnU-Net's networks: pip install --no-deps dynamic-network-architectures==0.4.4",
).ResidualEncoderUNet

MakeSpec = Callable[..., ExperimentSpec]
RESUNET = {"name": "resunet", "widths": (4, 8), "blocks": (1, 2)}
STILL = {"lr": 1e-30, "weight_decay": 0.0}
"""An optimiser that moves nothing: what a run ends with is what it started from."""


def checkpoint(file: Path, *, in_channels: int = 1, widths: tuple[int, ...] = (4, 8)) -> nn.Module:
    """Save what nnU-Net's trainer saves; gives the network."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        network: nn.Module = ResidualEncoderUNet(
            input_channels=in_channels,
            n_stages=2,
            features_per_stage=widths,
            conv_op=nn.Conv3d,
            kernel_sizes=3,
            strides=[1, 2],
            n_blocks_per_stage=[1, 2],
            num_classes=3,
            n_conv_per_stage_decoder=1,
            conv_bias=True,
            norm_op=nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
        )
    torch.save({"network_weights": network.state_dict(), "current_epoch": 3}, file)
    return network


def test_the_encoder_starts_from_the_checkpoint(make_spec: MakeSpec, tmp_path: Path) -> None:
    network = checkpoint(tmp_path / "checkpoint_final.pth")
    spec = make_spec(backbone=RESUNET, optimizer=STILL, trainer={"steps": 2})
    untrained = spec.build().backbone.state_dict()
    spec = spec.replace(init=str(tmp_path / "checkpoint_final.pth"))
    console = Console(record=True, width=500)
    ssl3d.pretrain(spec, out=tmp_path / "a", console=console)
    trained = ssl3d.load_encoder(tmp_path / "a").state_dict()
    expected = network.state_dict()
    for name, value in trained.items():
        torch.testing.assert_close(value, expected[name], msg=name)
    assert any(not torch.equal(trained[name], untrained[name]) for name in trained)
    said = console.export_text()
    assert f"{len(trained)} tensors loaded" in said
    assert "decoder.seg_layers.0.weight" in said  # what was left out is named
    with open(tmp_path / "a" / "loaded.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["tensor"] for line in lines if line["what"] == "loaded"} == set(trained)
    left = {line["tensor"] for line in lines if line["what"] == "left over"}
    assert "decoder.seg_layers.0.weight" in left
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["loaded"] == {
        "encoder": {
            "source": str(tmp_path / "checkpoint_final.pth"),
            "loaded": len(trained),
            "left over": len(left),
        }
    }


def test_other_input_channels(make_spec: MakeSpec, tmp_path: Path) -> None:
    """The error says how to go on, and that way works."""
    network = checkpoint(tmp_path / "checkpoint_final.pth", in_channels=2)
    spec = make_spec(
        backbone=RESUNET,
        optimizer=STILL,
        trainer={"steps": 1},
        init=str(tmp_path / "checkpoint_final.pth"),
    )
    with pytest.raises(ValueError, match=r"init: .*checkpoint_final\.pth") as caught:
        ssl3d.pretrain(spec, out=tmp_path / "a")
    message = str(caught.value)
    assert "Input channels: 2 in the weights, 1 in this encoder" in message
    assert "from_nnunet(weights, backbone=backbone, average_inputs=True)" in message
    assert "torch.save(backbone.state_dict(), " in message
    assert not (tmp_path / "a" / "spec.json").exists()

    backbone = spec.build().backbone
    weights = read_weights(tmp_path / "checkpoint_final.pth")
    from_nnunet(weights, backbone=backbone, average_inputs=True)
    torch.save(backbone.state_dict(), tmp_path / "start.pth")
    ssl3d.pretrain(spec.replace(init=str(tmp_path / "start.pth")), out=tmp_path / "a")
    stem = "encoder.stem.convs.0.conv.weight"
    expected = network.state_dict()[stem].sum(1, keepdim=True)
    torch.testing.assert_close(ssl3d.load_encoder(tmp_path / "a").state_dict()[stem], expected)


def test_other_widths(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Averaging would not help: the error does not propose it."""
    checkpoint(tmp_path / "checkpoint_final.pth", in_channels=2, widths=(6, 8))
    spec = make_spec(backbone=RESUNET, init=str(tmp_path / "checkpoint_final.pth"))
    with pytest.raises(ValueError, match=r"of another shape.*stem\.convs\.0\.conv\.bias") as caught:
        ssl3d.pretrain(spec, out=tmp_path / "a")
    assert "average_inputs" not in str(caught.value)
