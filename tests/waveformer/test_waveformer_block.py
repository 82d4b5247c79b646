"""The block against its formula, written with PyWavelets, and its start."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d_plugins.waveformer import WaveFormer
from ssl3d_plugins.waveformer.attention import TokenAttention
from ssl3d_plugins.waveformer.mixer import HaarMixer
from ssl3d_plugins.waveformer.tokens import Tokens
from ssl3d_plugins.waveformer.wavelet_mixer import WaveletMixer


def attention() -> TokenAttention:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = TokenAttention(12, heads=2, positions="rope")
        torch.nn.init.normal_(layer.qkv.weight, std=0.3)
        torch.nn.init.normal_(layer.out.weight, std=0.3)
    return layer.double()


def mixer(levels: Triple, wavelet: str) -> WaveletMixer:
    return WaveletMixer(
        12, levels=levels, attention=attention(), wavelet=wavelet, details=None
    ).double()


def volume(*size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 12, *size, generator=generator, dtype=torch.float64)


def by_pywavelets(x: Tensor, layer: WaveletMixer) -> Tensor:
    """x + IDWT(attention(LLL of DWT(norm(x))), details), one level over the axes after another."""
    normed = layer.norm(x.movedim(1, -1)).movedim(-1, 1).numpy()
    levels, wavelet, stack = layer.levels, layer.wavelet, []
    for depth in range(1, max(levels) + 1):
        axes = [axis - 3 for axis in range(3) if levels[axis] >= depth]
        bands = pywt.dwtn(normed, wavelet, mode="zero", axes=axes)
        stack.append((axes, bands, normed.shape))
        normed = bands["a" * len(axes)]
    smooth = torch.from_numpy(normed) * 2 ** (-sum(levels) / 2)
    grid = smooth.shape[2:]
    places = torch.cartesian_prod(*(torch.arange(edge) for edge in grid))
    rows = smooth.movedim(1, -1).flatten(0, 3)
    new = layer.attention(rows, Tokens(2, len(places), places.repeat(2, 1)))
    rest: np.ndarray = new.view(2, *grid, 12).movedim(-1, 1).numpy() * 2 ** (sum(levels) / 2)
    for axes, bands, shape in reversed(stack):
        bands["a" * len(axes)] = rest
        rest = pywt.idwtn(bands, wavelet, mode="zero", axes=axes)
        rest = rest[tuple(slice(edge) for edge in shape)]
    return x + torch.from_numpy(rest)


@pytest.mark.parametrize("levels", [(2, 2, 2), (0, 1, 2), (1, 0, 0)])
@pytest.mark.parametrize("wavelet", ["haar", "db2", "bior2.2"])
def test_the_mixer_is_the_formula(levels: Triple, wavelet: str) -> None:
    layer, x = mixer(levels, wavelet), volume(8, 4, 8)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), by_pywavelets(x, layer))


@pytest.mark.parametrize("levels", [(2, 2, 2), (0, 1, 2), (0, 0, 0)])
def test_fused_and_general_mixer_agree(levels: Triple) -> None:
    general = mixer(levels, "haar")
    fused = HaarMixer(12, levels=levels, attention=attention()).double()
    fused.load_state_dict(general.state_dict())
    x = volume(8, 4, 8).requires_grad_()
    y, z = fused(x), general(x)
    torch.testing.assert_close(y, z)
    weights = volume(8, 4, 8).sin()
    got = torch.autograd.grad((y * weights).sum(), [x, *fused.parameters()])
    expected = torch.autograd.grad((z * weights).sum(), [x, *general.parameters()])
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("kind", ["noise", "smooth", "constant"])
def test_logits_start_bounded_at_every_level(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The orthonormal approximation would be 22 times larger at level 3, the logits 512 times."""
    torch.manual_seed(0)
    backbone = WaveFormer().build(in_channels=1)
    largest = []
    original = TokenAttention.queries_keys_values

    def watched(self: TokenAttention, rows: Tensor, tokens: Tokens) -> tuple[Tensor, ...]:
        q, k, v = original(self, rows, tokens)
        logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        largest.append(float(logits.abs().max()))
        return q, k, v

    monkeypatch.setattr(TokenAttention, "queries_keys_values", watched)
    x = torch.randn(1, 1, 48, 48, 48)
    if kind == "smooth":
        x = 1000 * torch.nn.functional.avg_pool3d(x, 9, 1, 4)
    if kind == "constant":
        x = torch.full_like(x, -1000.0)
    with torch.no_grad():
        backbone(x)
    assert len(largest) == 8
    assert max(largest) < 5, largest


@pytest.mark.parametrize("details", ["mlp", "depthwise"])
def test_detail_layers_start_as_identity(details: str) -> None:
    """So the ablations start from the same function."""
    options = {"widths": (12, 12), "depths": (1, 1), "heads": (2, 2)}
    plain = WaveFormer(**options).build(in_channels=1).double()
    processed = WaveFormer(**options, details=details).build(in_channels=1).double()
    missing = processed.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys
    assert not missing.unexpected_keys
    x = torch.randn(1, 1, 8, 8, 8, dtype=torch.float64)
    for a, b in zip(plain(x), processed(x), strict=True):
        torch.testing.assert_close(a, b)
