"""The published block: windows on every wavelet level, up-sampled and summed."""

from __future__ import annotations

import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Triple, quotient, times
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.testing.backbone_under_test import sparse_backend
from ssl3d_plugins.waveformer import WaveFormer, windows
from ssl3d_plugins.waveformer.attention import TokenAttention
from ssl3d_plugins.waveformer.plan import up_plan
from ssl3d_plugins.waveformer.pyramid_mixer import PyramidMixer
from ssl3d_plugins.waveformer.tokens import Tokens
from ssl3d_plugins.waveformer.upsample import up_twice
from ssl3d_plugins.waveformer.windows import windows_of


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def attention(positions: str = "rope") -> TokenAttention:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = TokenAttention(12, heads=2, positions=positions)  # type: ignore[arg-type]
        torch.nn.init.normal_(layer.qkv.weight, std=0.3)
        torch.nn.init.normal_(layer.out.weight, std=0.3)
    return layer.double()


def in_windows(x: Tensor, layer: TokenAttention, window: Triple) -> Tensor:
    """One window at a time, by slicing."""
    result = torch.zeros_like(x)
    for sample in range(len(x)):
        for z in range(0, x.shape[2], window[0]):
            for y in range(0, x.shape[3], window[1]):
                for w in range(0, x.shape[4], window[2]):
                    part = (slice(z, z + window[0]), slice(y, y + window[1]))
                    where = (sample, slice(None), *part, slice(w, w + window[2]))
                    box = x[where]
                    places = torch.cartesian_prod(*(torch.arange(s) for s in box.shape[1:]))
                    rows = layer(box.flatten(1).t(), Tokens(1, len(places), places))
                    result[where] = rows.t().view_as(box)
    return result


@pytest.mark.parametrize("window", [(2, 2, 2), (3, 2, 8)])
def test_windows_are_slices(window: Triple) -> None:
    x, layer = noise(2, 12, 4, 4, 6), attention("relative_bias")
    rows = x.movedim(1, -1).flatten(0, 3)
    with torch.no_grad():
        got = layer(rows, windows_of(x, window=window)).view(2, 4, 4, 6, 12).movedim(-1, 1)
        torch.testing.assert_close(got, in_windows(x, layer, window))


@pytest.mark.parametrize("positions", ["relative_bias", "rope"])
@pytest.mark.parametrize("window", [(2, 2, 2), (4, 4, 4), (3, 2, 8), (8, 8, 8)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_windows_of_other_devices_are_those_of_a_cpu(
    positions: str, window: Triple, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All windows with a slot for each place, against those that show a token, packed."""
    visible = torch.rand((2, 3, 3, 3), generator=torch.Generator().manual_seed(3)) < share
    layer = attention(positions)
    results = []
    for packs in (True, False):
        with monkeypatch.context() as patch:
            if not packs:
                patch.setattr(windows, "packed", lambda tokens: tokens)
            cells = CellGrid(visible, cell=(2, 2, 2))
            x = noise(cells.n, 2, 2, 2, 12).requires_grad_()
            volume = SparseVolume(x, cells, (1, 1, 1), sparse_backend("cells"))
            mixed = layer(x.flatten(0, 3), windows_of(volume, window=window))
            grads = torch.autograd.grad(mixed.square().sum(), [x, *layer.parameters()])
            results.append([mixed, *grads])
    for packed, spread in zip(*results, strict=True):
        torch.testing.assert_close(packed, spread, rtol=1e-9, atol=1e-12)


def test_the_mixer_is_the_formula() -> None:
    ups = (up_plan((2, 2, 2), channels=12),) * 2
    layer = PyramidMixer(12, ups=ups, attention=attention(), window=(2, 2, 2)).double()
    x = noise(1, 12, 8, 8, 4)
    with torch.no_grad():
        level = layer.norm(x.movedim(1, -1)).movedim(-1, 1)
        mixed = []
        for _ in range(2):
            smooth = pywt.dwtn(level.numpy(), "haar", mode="zero", axes=(2, 3, 4))["aaa"]
            level = torch.from_numpy(smooth) * 2**-1.5
            mixed.append(in_windows(level, layer.attention, (2, 2, 2)))
        once = {"scale_factor": 2.0, "mode": "trilinear", "align_corners": False}
        twice = F.interpolate(F.interpolate(mixed[1], **once), **once)  # type: ignore[arg-type]
        expected = x + F.interpolate(mixed[0], **once) + twice  # type: ignore[arg-type]
        torch.testing.assert_close(layer(x), expected)


@settings(max_examples=15, deadline=None)
@given(grid=st.tuples(*[st.integers(1, 3)] * 3), factor=st.tuples(*[st.integers(1, 2)] * 3))
def test_up_sampling_with_nothing_hidden_is_trilinear(grid: Triple, factor: Triple) -> None:
    x = noise(2, 3, *times(grid, (2, 1, 2)))
    cells = CellGrid(torch.ones(2, *grid, dtype=torch.bool), cell=times((2, 1, 2), factor))
    visible = SparseVolume.from_dense(
        x, cells=cells, backend=sparse_backend("cells"), stride=factor
    )
    up = up_plan(factor, channels=3)
    finer, dense = up_twice(visible, up=up), up_twice(x, up=up)
    assert isinstance(finer, SparseVolume)
    assert isinstance(dense, Tensor)
    assert finer.stride == quotient(factor, factor)
    torch.testing.assert_close(finer.to_dense(), dense)


def test_up_sampling_keeps_a_constant_beside_hidden_cells() -> None:
    """Hidden sites have no weight; they do not pull towards zero."""
    visible = torch.tensor([[1, 0], [0, 1]]).bool().view(1, 1, 2, 2)
    cells = CellGrid(visible, cell=(4, 4, 4))
    x = torch.full((1, 1, 2, 4, 4), 3.0, dtype=torch.float64)
    given_cells = SparseVolume.from_dense(
        x, cells=cells, backend=sparse_backend("cells"), stride=(2, 2, 2)
    )
    finer = up_twice(given_cells, up=up_plan((2, 2, 2), channels=1))
    assert isinstance(finer, SparseVolume)
    torch.testing.assert_close(finer.features, torch.full_like(finer.features, 3.0))


def test_its_size_is_that_of_the_published_encoder() -> None:
    """About 6.0 million parameters."""
    model = WaveFormer(preset="paper").build(in_channels=4)
    assert 5.8e6 < sum(p.numel() for p in model.parameters()) < 6.2e6
