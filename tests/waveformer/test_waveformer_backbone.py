"""Sizes, channels, precisions and unusual visibility."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl3d.geometry import Triple, times
from ssl3d.kinds.backbone import Backbone
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.testing.backbone_under_test import sparse_backend
from ssl3d_plugins.waveformer import WaveFormer

OPTIONS = {"widths": (12, 18), "depths": (1, 1), "heads": (2, 3)}


def backbone(*, in_channels: int = 1, **options: Any) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return WaveFormer.model_validate(OPTIONS | options).build(in_channels=in_channels)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def sparse(volume: Tensor, visible: Tensor, *, cell: Triple = (4, 4, 4)) -> SparseVolume:
    cells = CellGrid(visible, cell=cell)
    return SparseVolume.from_dense(volume, cells=cells, backend=sparse_backend("cells"))


@settings(max_examples=20, deadline=None)
@given(
    grid=st.tuples(*[st.integers(1, 3)] * 3),
    factor=st.tuples(*[st.integers(1, 2)] * 3),
    batch=st.integers(1, 2),
    channels=st.integers(1, 3),
)
def test_any_size_and_any_channels(grid: Triple, factor: Triple, batch: int, channels: int) -> None:
    """Nothing hidden in cells of any multiple of the total stride is the dense result."""
    model = backbone(in_channels=channels).double()
    cell = times((4, 4, 4), factor)
    volume = noise(batch, channels, *times(grid, cell))
    visible = torch.ones(batch, *grid, dtype=torch.bool)
    with torch.no_grad():
        dense, boxes = model(volume), model(sparse(volume, visible, cell=cell))
    for i, (a, b) in enumerate(zip(dense, boxes, strict=True)):
        assert isinstance(a, Tensor)
        assert isinstance(b, SparseVolume)
        assert a.shape[2:] == tuple(edge // (2, 4)[i] for edge in volume.shape[2:])
        torch.testing.assert_close(b.to_dense(), a, atol=1e-9, rtol=0)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_each_sample_is_encoded_as_if_alone(data: st.DataObject) -> None:
    """Unequal counts, single cells and samples without any visible cell among them."""
    rows = st.lists(st.booleans(), min_size=4, max_size=4)
    visible = torch.tensor(data.draw(st.lists(rows, min_size=1, max_size=3)))
    visible = visible.view(-1, 1, 2, 2)
    model, volume = backbone().double(), noise(len(visible), 1, 4, 8, 8)
    together = model(sparse(volume, visible))
    torch.autograd.backward([x.features.sum() for x in together if isinstance(x, SparseVolume)])
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    for i in range(len(visible)):
        alone = model(sparse(volume[i : i + 1], visible[i : i + 1]))
        for a, b in zip(together, alone, strict=True):
            assert isinstance(a, SparseVolume)
            assert isinstance(b, SparseVolume)
            torch.testing.assert_close(a.to_dense()[i : i + 1], b.to_dense())


def test_rotary_positions_are_places_in_the_whole_volume() -> None:
    """The same two cells further apart give other features; moved together, the same."""
    cells = noise(2, 1, 4, 4, 4)
    results = []
    for first, second in ((0, 1), (0, 3), (2, 3)):
        volume, visible = torch.zeros(1, 1, 4, 4, 16), torch.zeros(1, 1, 1, 4, dtype=torch.bool)
        for cell, place in zip(cells, (first, second), strict=True):
            volume[0, :, :, :, 4 * place : 4 * place + 4] = cell
            visible[..., place] = True
        results.append(backbone().double()(sparse(volume.double(), visible))[-1].features)
    near, far, moved = results
    torch.testing.assert_close(near, moved)
    assert not torch.allclose(near, far)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"details": "mlp", "positions": "relative_bias"},
    {"details": "depthwise", "ffn": "conv"},
    {"preset": "paper", "window": 2},
]


@pytest.mark.parametrize("options", VARIANTS)
def test_no_visible_cell_at_all(options: dict[str, Any]) -> None:
    """Empty maps of the right shape, and gradients of zero."""
    model = backbone(**options).double()
    visible = torch.zeros(2, 2, 1, 2, dtype=torch.bool)
    maps = model(sparse(noise(2, 1, 8, 4, 8), visible))
    features = [x.features for x in maps if isinstance(x, SparseVolume)]
    assert [tuple(f.shape) for f in features] == [(0, 2, 2, 2, 12), (0, 1, 1, 1, 18)]
    torch.autograd.backward([f.sum() for f in features])
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("options", VARIANTS)
def test_bfloat16_and_autocast(options: dict[str, Any]) -> None:
    volume, visible = noise(1, 1, 8, 8, 4), torch.tensor([1, 0, 1, 1]).bool().view(1, 2, 2, 1)
    model = backbone(**options).float()
    for given_input in (lambda v: v, lambda v: sparse(v, visible)):
        exact = model(given_input(volume.float()))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = model(given_input(volume.float()))
        half = backbone(**options).bfloat16()(given_input(volume.bfloat16()))
        for a, b, c in zip(exact, mixed, half, strict=True):
            a, b, c = (x if isinstance(x, Tensor) else x.features for x in (a, b, c))
            assert c.dtype == torch.bfloat16
            scale = float(a.detach().abs().max())
            torch.testing.assert_close(b.float(), a, atol=0.05 * scale, rtol=0)
            torch.testing.assert_close(c.float(), a, atol=0.05 * scale, rtol=0)


def test_dense_maps_are_channels_last_in_memory() -> None:
    for x in backbone().double()(noise(2, 1, 8, 8, 8)):
        assert isinstance(x, Tensor)
        assert x.is_contiguous(memory_format=torch.channels_last_3d)


def test_wrong_input() -> None:
    model = backbone(in_channels=2).double()
    with pytest.raises(ValueError, match=r"3 channels.*built for 2"):
        model(noise(1, 3, 8, 8, 8))
    with pytest.raises(ValueError, match=r"8 × 6 × 8 .*multiple of 4 × 4 × 4"):
        model(noise(1, 2, 8, 6, 8))
    with pytest.raises(ValueError, match=r"must be \(B, C, D, H, W\)"):
        model(noise(2, 8, 8, 8))
    visible = torch.ones(1, 2, 1, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"cell of 4 × 2 × 8"):
        model(sparse(noise(1, 2, 8, 2, 8), visible, cell=(4, 2, 8)))


def test_long_filters_are_for_dense_volumes() -> None:
    model = backbone(wavelet="db2").double()
    volume = noise(1, 1, 12, 8, 4)
    assert [x.shape[1:] for x in model(volume) if isinstance(x, Tensor)] == [
        (12, 6, 4, 2),
        (18, 3, 2, 1),
    ]
    with pytest.raises(ValueError, match=r"db2.*haar"):
        model(sparse(volume, torch.ones(1, 3, 2, 1, dtype=torch.bool)))


def test_the_default_is_the_published_size() -> None:
    """5.5 million parameters, four stages, three wavelet levels at the finest."""
    model = WaveFormer().build(in_channels=1)
    assert 5.3e6 < sum(p.numel() for p in model.parameters()) < 5.7e6


def test_the_residual_stream_is_not_rounded_under_autocast() -> None:
    volume, visible = noise(1, 1, 8, 8, 4), torch.tensor([1, 0, 1, 1]).bool().view(1, 2, 2, 1)
    model = backbone().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        dense, cells = model(volume.float()), model(sparse(volume.float(), visible))
    assert {one.dtype for one in dense} == {torch.float32}
    assert {one.features.dtype for one in cells} == {torch.float32}
