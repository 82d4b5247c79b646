"""Detail layers against a naive version with PyWavelets, on dense maps and on visible cells."""

from __future__ import annotations

import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.geometry import Triple, times
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.testing.backbone_under_test import sparse_backend
from ssl3d_plugins.waveformer import WaveFormer
from ssl3d_plugins.waveformer.details import DepthwiseDetails, MlpDetails
from ssl3d_plugins.waveformer.levels import block_of
from ssl3d_plugins.waveformer.stage import make_mixer
from ssl3d_plugins.waveformer.wavelet_mixer import WaveletMixer

CHANNELS = 6


def mixer(details: str, *, levels: Triple, wavelet: str = "haar") -> WaveletMixer:
    """With random weights, those of the details among them, and attention that gives zeros."""
    config = WaveFormer(
        widths=(CHANNELS,),
        heads=(1,),
        patch=1,
        levels=(levels,),
        details=details,
        wavelet=wavelet,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = make_mixer(config, plan=config.plan()[0].blocks[0])
        assert isinstance(made, WaveletMixer)
        for parameter in made.parameters():
            nn.init.normal_(parameter, std=0.5)
    nn.init.zeros_(made.attention.out.weight)
    nn.init.zeros_(made.attention.out.bias)
    return made.double()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def naive(x: Tensor, layer: WaveletMixer) -> Tensor:
    """x + IDWT(0, details(bands of norm(x))), one level over the axes after another."""
    rest = layer.norm(x.movedim(1, -1)).movedim(-1, 1).detach().numpy()
    stack = []
    for depth in range(1, max(layer.levels) + 1):
        axes = [axis - 3 for axis in range(3) if layer.levels[axis] >= depth]
        bands = pywt.dwtn(rest, layer.wavelet, mode="zero", axes=axes)
        stack.append((axes, bands, rest.shape))
        rest = bands["a" * len(axes)]
    rest = 0 * rest
    for axes, bands, shape in reversed(stack):
        for name in bands.keys() - {"a" * len(axes)}:
            letters = dict(zip(axes, name, strict=True))
            full = "".join(letters.get(axis - 3, "a") for axis in range(3))
            band = torch.from_numpy(bands[name])
            bands[name] = (band + change(layer, band, name=full)).detach().numpy()
        bands["a" * len(axes)] = rest
        whole = pywt.idwtn(bands, layer.wavelet, mode="zero", axes=axes)
        rest = whole[tuple(slice(edge) for edge in shape)]
    return x + torch.from_numpy(rest)


def change(layer: WaveletMixer, band: Tensor, *, name: str) -> Tensor:
    """What is added to a sub-band, site by site or by shifted sums."""
    details = layer.details
    if isinstance(details, MlpDetails):
        first, last = details.layers[0], details.layers[2]
        hidden = F.gelu(torch.einsum("bcdhw,oc->bdhwo", band, first.weight) + first.bias)
        return torch.einsum("bdhwc,oc->bodhw", hidden, last.weight) + last.bias[:, None, None, None]
    assert isinstance(details, DepthwiseDetails)
    weight = details.convs[name].weight
    padded, (d, h, w) = F.pad(band, (1,) * 6), band.shape[2:]
    added = torch.zeros_like(band)
    for z in range(3):
        for y in range(3):
            for x in range(3):
                shifted = padded[:, :, z : z + d, y : y + h, x : x + w]
                added = added + shifted * weight[:, 0, z, y, x, None, None, None]
    return added


@pytest.mark.parametrize("levels", [(2, 2, 2), (0, 1, 2)])
@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4", "coif1", "bior2.2"])
@pytest.mark.parametrize("details", ["mlp", "depthwise"])
def test_details_on_a_dense_map(details: str, wavelet: str, levels: Triple) -> None:
    """Of odd edges where the filter is longer than Haar's; gradients reach every parameter."""
    layer = mixer(details, levels=levels, wavelet=wavelet)
    x = noise(2, CHANNELS, *((8, 4, 8) if wavelet == "haar" else (7, 5, 3)))
    y = layer(x)
    assert isinstance(y, Tensor)
    torch.testing.assert_close(y, naive(x, layer))
    y.square().sum().backward()
    assert layer.details is not None
    assert all(p.grad is not None and p.grad.any() for p in layer.details.parameters())


@settings(max_examples=15, deadline=None)
@given(
    details=st.sampled_from(["mlp", "depthwise"]),
    levels=st.sampled_from([(1, 1, 1), (0, 1, 2), (1, 0, 0)]),
    seed=st.integers(0, 99),
)
def test_details_of_visible_cells(details: str, levels: Triple, seed: int) -> None:
    """The sub-bands of hidden cells are zeros to their neighbours, whatever stands there."""
    layer = mixer(details, levels=levels)
    cell = times((2, 1, 1), block_of(levels))
    grid = (2, 1, 3)
    random = torch.Generator().manual_seed(seed)
    visible = torch.rand(1, *grid, generator=random) > 0.5
    cells = CellGrid(visible, cell=cell)
    backend = sparse_backend("cells")
    volume = noise(1, CHANNELS, *times(grid, cell))
    shown = SparseVolume.from_dense(volume, cells=cells, backend=backend)
    spoiled = torch.where(shown.to_dense() == 0, torch.nan, volume)
    y = layer(shown)
    again = layer(SparseVolume.from_dense(spoiled, cells=cells, backend=backend))
    assert isinstance(y, SparseVolume)
    assert torch.equal(y.features, again.features)

    layer.norm = ZeroWhereHidden(layer.norm, shown)
    expected = naive(volume, layer)
    torch.testing.assert_close(y.features, cells.gather(expected))


class ZeroWhereHidden(nn.Module):
    """A norm whose result is zero where cells are hidden: the definition of a sparse operation."""

    def __init__(self, norm: nn.Module, shown: SparseVolume) -> None:
        super().__init__()
        self.norm = norm
        ones = shown.with_features(torch.ones_like(shown.features))
        self.visible = ones.to_dense().movedim(1, -1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W, C) to the same."""
        y: Tensor = self.norm(x)
        return y * self.visible
