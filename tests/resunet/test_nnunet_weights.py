"""Weights go to and from nnU-Net's own network, compared by what both compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl3d.weights import read_weights
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.resunet.backbone import ResUNetBackbone
from ssl3d_plugins.resunet.nnunet import from_nnunet, to_nnunet
from ssl3d_plugins.resunet.presets import Size

# Without its dependencies: its timm would pull in a torchvision that may not fit the torch at hand,
# and the residual U-Net needs neither.
ResidualEncoderUNet = pytest.importorskip(
    "dynamic_network_architectures.architectures.unet",
    reason="needs nnU-Net's networks: pip install --no-deps dynamic-network-architectures==0.4.4",
).ResidualEncoderUNet

SMALL = ResUNet(widths=(4, 8, 12), blocks=(1, 2, 2))
THICK_SLICES = ResUNet(
    widths=(4, 8, 8),
    blocks=(1, 1, 2),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
)
CONFIGS = [
    pytest.param(SMALL, id="isotropic"),
    pytest.param(SMALL.model_copy(update={"norm": "batch"}), id="batch-norm"),
    pytest.param(SMALL.model_copy(update={"bias": False}), id="no-bias"),
    pytest.param(THICK_SLICES, id="thick-slices"),
]


def nnunet(config: ResUNet, *, in_channels: int) -> nn.Module:
    plans = config.stage_options
    instance = config.norm == "instance"
    return ResidualEncoderUNet(
        input_channels=in_channels,
        n_stages=len(plans),
        features_per_stage=[p.width for p in plans],
        conv_op=nn.Conv3d,
        kernel_sizes=[list(p.kernel) for p in plans],
        strides=[list(p.stride) for p in plans],
        n_blocks_per_stage=[p.blocks for p in plans],
        num_classes=2,
        n_conv_per_stage_decoder=[1] * (len(plans) - 1),
        conv_bias=config.bias,
        norm_op=nn.InstanceNorm3d if instance else nn.BatchNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )


def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Other values than those of an initialisation, in every parameter and statistic."""
    for name, tensor in module.state_dict(keep_vars=True).items():
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * 0.2)
            if name.endswith("conv.weight"):
                tensor.data.sub_(0.1)


def same_features(
    backbone: ResUNetBackbone, network: nn.Module, generator: torch.Generator
) -> None:
    channels = backbone.encoder.stem.get_submodule("convs.0.conv").in_channels
    size = tuple(2 * s for s in backbone.stages[-1].stride)
    volume = torch.randn(2, channels, *size, generator=generator)
    for training in (True, False):
        ours = backbone.train(training)(volume)
        theirs = network.encoder.train(training)(volume)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
def test_export_gives_nnunet_the_same_features(config: ResUNet) -> None:
    generator = torch.Generator().manual_seed(0)
    backbone = config.build(in_channels=2)
    network = nnunet(config, in_channels=2)
    randomise(backbone, generator)
    report = to_nnunet(backbone, network=network)
    assert set(report.loaded) == set(backbone.state_dict())
    assert report.unexpected == ()
    assert all(name.startswith("decoder.") for name in report.missing)
    same_features(backbone, network, generator)


@pytest.mark.parametrize("config", CONFIGS)
def test_import_gives_the_features_of_nnunet(config: ResUNet, tmp_path) -> None:
    generator = torch.Generator().manual_seed(1)
    backbone = config.build(in_channels=1)
    network = nnunet(config, in_channels=1)
    randomise(network, generator)
    file = tmp_path / "checkpoint_final.pth"
    torch.save({"network_weights": network.state_dict(), "current_epoch": 3}, file)
    report = backbone.load_weights(read_weights(file))
    assert set(report.loaded) == set(backbone.state_dict())
    assert report.missing == ()
    assert all(name.startswith("decoder.") for name in report.unexpected)
    same_features(backbone, network, generator)


@pytest.mark.parametrize("size", ["S", "M", "L", "XL"])
def test_presets_have_the_tensors_of_nnunet(size: Size) -> None:
    config = ResUNet(size=size)
    with torch.device("meta"):
        ours = config.build(in_channels=4).state_dict()
        theirs = nnunet(config, in_channels=4).state_dict()
    for name, tensor in ours.items():
        assert tensor.shape == theirs[name].shape
    encoder = [n for n in theirs if n.startswith("encoder.") and ".all_modules." not in n]
    assert sorted(ours) == sorted(encoder)


def test_initialisation_is_that_of_nnunet() -> None:
    config = ResUNet(widths=(8, 16), blocks=(1, 2))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = config.build(in_channels=1)
        network = nnunet(config, in_channels=1)
        network.apply(network.initialize)
    theirs = network.state_dict()
    for name, ours in backbone.state_dict().items():
        expected = theirs[name]
        assert float(ours.std(correction=0)) == pytest.approx(
            float(expected.std(correction=0)), rel=0.25
        )
        assert float(ours.mean()) == pytest.approx(float(expected.mean()), abs=0.1)


def test_another_depth_is_an_error_that_names_the_tensors() -> None:
    backbone = SMALL.build(in_channels=1)
    deeper = nnunet(SMALL.model_copy(update={"blocks": (1, 3, 2)}), in_channels=1)
    before = {name: value.clone() for name, value in deeper.state_dict().items()}
    with pytest.raises(ValueError, match=r"encoder\.stages\.1\.blocks\.2\.conv1\.conv\.weight"):
        to_nnunet(backbone, network=deeper)
    for name, value in deeper.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} was copied in spite of the error"
    with pytest.raises(ValueError, match=r"unknown to the module.*encoder\.stages\.1\.blocks\.2"):
        from_nnunet(deeper.state_dict(), backbone=backbone)


def test_other_input_channels_are_averaged_only_when_asked() -> None:
    generator = torch.Generator().manual_seed(2)
    network = nnunet(SMALL, in_channels=1)
    randomise(network, generator)
    backbone = SMALL.build(in_channels=3)
    with pytest.raises(ValueError, match=r"encoder\.stem\.convs\.0\.conv\.weight \(source"):
        from_nnunet(network.state_dict(), backbone=backbone)
    report = from_nnunet(network.state_dict(), backbone=backbone, average_inputs=True)
    assert report.adapted == ("encoder.stem.convs.0.conv.weight",)
    assert "averaged input channels" in str(report)
    volume = torch.randn(1, 1, 8, 8, 8, generator=generator)
    ours = backbone(volume.expand(-1, 3, -1, -1, -1))
    for a, b in zip(ours, network.encoder(volume), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
