"""Primus and its decoder against numbers of the public network.

Constants are what tests/primus/public_primus.py prints with dynamic_network_architectures 0.4.4
and timm 1.0.15, in double precision (their rotary table is in single).
"""

from __future__ import annotations

import pytest
import torch
from formula import fill, probes, wave

from ssl3d.geometry import Stage
from ssl3d.sparse.layers import PatchUp
from ssl3d_plugins.primus import Primus
from ssl3d_plugins.primus.config import SIZES

SMALL = Primus(width=24, depth=2, heads=2, volume=(16, 32, 24))
FEATURES = [-4.958407327216548, 1277.103600447872, 10.147316610841425]
FEATURES += [-1.9458785659669577, -1.3708268411217317]
GRADIENTS = {
    "eva.pos_embed": [-0.002247342334778069, 0.0002494734285461883, -3.237192822457727e-05],
    "eva.blocks.0.attn.q_proj.weight": [
        -0.0005748359276932585,
        -7.596106762849384e-06,
        0.00028315579555342776,
    ],
    "eva.blocks.1.mlp.fc2.weight": [
        0.03999349074227758,
        -0.0014043908251732402,
        -8.070757785178857e-05,
    ],
    "the volume": [-0.001852970015446052, 6.900226836480254e-05, -8.2665736386248e-07],
}
OUTPUT = [-6814.643802993764, 3090.559191335627, -0.3202677231147273]
OUTPUT += [0.21089755155910783, -0.22262998269966497]


class Whole(torch.nn.Module):
    """Encoder and decoder under the names of the public network, so that weights are the same."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SMALL.build(in_channels=2)
        self.up = PatchUp(Stage((8, 8, 8), 24), out_channels=3)
        self.register_buffer("mask_token", torch.zeros(1, 1, 24))

    def state_dict(self, **named):
        """By the public names."""
        up = list(self.up.state_dict(**named).values())
        names = ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"]
        names += ["1.0.weight", "1.0.bias", "1.1.weight", "1.1.bias", "2.weight", "2.bias"]
        named_up = {f"up_projection.decode.{n}": v for n, v in zip(names, up, strict=True)}
        own = self.encoder.state_dict(**named)
        return {**own, **named_up, "mask_token": self.mask_token}


@pytest.fixture
def network() -> Whole:
    return fill(Whole()).eval()


def test_features_and_gradients_are_the_public_ones(network: Whole) -> None:
    volume = wave((2, 2, 16, 32, 24), number=3).requires_grad_()
    (made,) = network.encoder(volume)
    assert probes(made) == pytest.approx(FEATURES, rel=1e-5)
    made.square().mean().backward()
    gradients = {name: p.grad for name, p in network.encoder.named_parameters()}
    gradients["the volume"] = volume.grad
    for name, expected in GRADIENTS.items():
        assert probes(gradients[name])[2:] == pytest.approx(expected, rel=1e-4), name


def test_the_decoder_patch_ends_as_the_public_network(network: Whole) -> None:
    (made,) = network.encoder(wave((2, 2, 16, 32, 24), number=3))
    assert probes(network.up(made)[1]) == pytest.approx(OUTPUT, rel=1e-5)


@pytest.mark.parametrize(
    ("size", "encoder", "whole"),
    [
        ("S", 26_061_156, 26_351_774),
        ("B", 97_285_320, 98_173_994),
        ("M", 150_997_536, 152_021_402),
        ("L", 330_725_472, 332_177_954),
    ],
)
def test_the_published_sizes(size: str, encoder: int, whole: int) -> None:
    """Parameters of PrimusS to PrimusL at 160³, for one channel and two classes."""
    config = Primus(size=size)
    assert {k: getattr(config, k) for k in ("width", "depth", "heads")} == SIZES[size]
    with torch.device("meta"):
        parts = config.build(in_channels=1), PatchUp(config.stages()[0], out_channels=2)
    counts = [sum(p.numel() for p in part.parameters()) for part in parts]
    assert (counts[0], sum(counts)) == (encoder, whole)
