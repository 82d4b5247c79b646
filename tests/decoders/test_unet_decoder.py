"""The decoder `unet` on every backbone: to full resolution, from the stages alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ssl3d.geometry import Stage, times
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d_plugins.decoders import Patch, UNet
from ssl3d_plugins.monai_encoders.config import Monai
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.waveformer import WaveFormer

BACKBONES = {
    "waveformer": WaveFormer(widths=(16, 32), depths=(1, 1)),
    "thick slices": WaveFormer(
        widths=(16, 32), depths=(1, 1), patch=(1, 4, 4), merging=((2, 2, 2),)
    ),
    "resunet": ResUNet(widths=(4, 8, 8), blocks=(1, 1, 1), strides=(1, (1, 2, 2), 2)),
    "strided resunet": ResUNet(widths=(4, 8), blocks=(1, 1), strides=(2, 2)),
    "segresnet": Monai(network={"name": "segresnet", "init_filters": 8, "blocks_down": (1, 1)}),
    "resnet": Monai(network={"name": "resnet", "depth": 10, "block_inplanes": (4, 8, 8, 8)}),
}


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("below", ["convolve", "interpolate"])
def test_every_backbone_comes_back_to_full_resolution(name: str, below: str) -> None:
    config: BackboneConfig = BACKBONES[name]
    backbone = config.build(in_channels=1)
    unet = UNet(below=below)
    unet = UNet(below=below, deep_supervision=len(unet.scales(config.stages())) > 2)
    assert not list(unet.problems(stages=config.stages()))
    decoder = unet.build(stages=config.stages(), out_channels=3, sparse=False)
    volume = torch.randn(1, 1, *times(backbone.divisor, (2, 2, 2)))
    out = decoder(backbone(volume))
    assert out.volume.shape == (1, 3, *volume.shape[2:])
    assert bool(out.deep) == unet.deep_supervision
    sizes = [one.shape[2:].numel() for one in (out.volume, *out.deep)]
    assert sizes == sorted(sizes, reverse=True)
    out.volume.sum().backward()
    assert next(p for p in backbone.parameters() if p.grad is not None).grad.abs().sum() > 0


def test_by_hand() -> None:
    """Two stages of strides 2 and 4: one skip, then one scale without."""
    torch.manual_seed(0)
    stages = (Stage((2, 2, 2), 6), Stage((4, 4, 4), 10))
    decoder = UNet(blocks=1).build(stages=stages, out_channels=2, sparse=False)
    fine, coarse = torch.randn(2, 6, 4, 6, 4), torch.randn(2, 10, 2, 3, 2)

    def up(x, block, skip):
        x = F.conv_transpose3d(x, block.up.weight, block.up.bias, stride=2)
        x = x if skip is None else torch.cat([x, skip], 1)
        for layer in block.block:
            if isinstance(layer, nn.Conv3d):
                x = F.conv3d(x, layer.weight, padding=1)
            elif isinstance(layer, nn.InstanceNorm3d):
                mean, var = x.mean((2, 3, 4), keepdim=True), x.var((2, 3, 4), False, keepdim=True)
                x = (x - mean) / (var + 1e-5).sqrt()
            else:
                x = torch.where(x > 0, x, 0.01 * x)
        return x

    x = up(up(coarse, decoder.ups[0], fine), decoder.ups[1], None)
    want = torch.einsum("oi,bizyx->bozyx", decoder.head.weight[:, :, 0, 0, 0], x)
    want = want + decoder.head.bias.view(1, -1, 1, 1, 1)
    torch.testing.assert_close(decoder((fine, coarse)).volume, want, rtol=1e-4, atol=1e-4)


def test_deep_supervision_adds_heads_and_changes_nothing_else() -> None:
    stages = (Stage((1, 1, 1), 8), Stage((2, 2, 2), 8), Stage((4, 4, 4), 8), Stage((8, 8, 8), 8))
    maps = [torch.randn(1, 8, *(16 // s.stride[0],) * 3) for s in stages]
    plain = UNet().build(stages=stages, out_channels=2, sparse=False)
    deep = UNet(deep_supervision=True).build(stages=stages, out_channels=2, sparse=False)
    names = {n for n in deep.state_dict() if not n.startswith("deep.")}
    assert names == set(plain.state_dict())
    plain.load_state_dict({n: v for n, v in deep.state_dict().items() if n in names})
    out = deep(maps)
    assert torch.equal(out.volume, plain(maps).volume)
    assert [one.shape[2:] for one in out.deep] == [(8, 8, 8)]


@pytest.mark.parametrize(("count", "deep"), [(3, [2]), (4, [2]), (5, [2, 4])])
def test_coarser_outputs_of_any_number_of_scales(count: int, deep: list[int]) -> None:
    """Of four and more as in nnU-Net, whose two coarsest count for nothing."""
    stages = tuple(Stage((2**i,) * 3, 4) for i in range(count))
    decoder = UNet(deep_supervision=True).build(stages=stages, out_channels=2, sparse=False)
    maps = [torch.randn(1, 4, *(32 // s.stride[0],) * 3) for s in stages]
    found = [32 // one.shape[-1] for one in decoder(maps).deep]
    assert found == deep


def test_two_scales_have_nothing_between_them() -> None:
    stages = (Stage((1, 1, 1), 8), Stage((2, 2, 2), 8))
    (problem,) = UNet(deep_supervision=True).problems(stages=stages)
    assert problem.option == "deep_supervision"
    assert "2 scales, of strides 2 × 2 × 2, 1 × 1 × 1" in problem.message
    assert not list(UNet().problems(stages=stages))


def test_patch_has_the_widths_of_primus() -> None:
    """864 channels, patch 8, two outputs: as PrimusM of dynamic_network_architectures 0.4.4."""
    decoder = Patch().build(stages=(Stage((8, 8, 8), 864),), out_channels=2, sparse=False)
    convolutions = [m for m in decoder.modules() if isinstance(m, nn.ConvTranspose3d)]
    assert [c.in_channels for c in convolutions] == [864, 144, 24]
    assert {c.kernel_size for c in convolutions} == {(2, 2, 2)}
    assert decoder([torch.randn(1, 864, 2, 1, 1)]).volume.shape == (1, 2, 16, 8, 8)
