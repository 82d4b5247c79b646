"""The fused Haar path against the full transform, which is tested against PyWavelets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d_plugins.waveformer.wavelet import (
    add_to_blocks_,
    block_mean,
    decompose,
    join_blocks,
    reconstruct,
    split_blocks,
)

levels_of = st.tuples(*[st.integers(0, 3)] * 3)
grids = st.tuples(*[st.integers(1, 3)] * 3)


def boxes(levels: Triple, grid: Triple, *, seed: int = 0) -> Tensor:
    """(2, d, h, w, 3)"""
    size = [g * 2**level for g, level in zip(grid, levels, strict=True)]
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *size, 3, generator=generator, dtype=torch.float64)


@settings(max_examples=20, deadline=None)
@given(levels=levels_of, grid=grids)
def test_the_mean_is_the_approximation(levels: Triple, grid: Triple) -> None:
    x = boxes(levels, grid)
    bands = decompose(x.movedim(-1, 1), levels=levels)
    mean = block_mean(split_blocks(x, levels=levels))
    torch.testing.assert_close(mean.movedim(-1, 1), bands.approximation * bands.scale)


@settings(max_examples=20, deadline=None)
@given(levels=levels_of, grid=grids)
def test_adding_to_blocks_is_the_inverse_transform(levels: Triple, grid: Triple) -> None:
    """With another approximation and untouched details; values and gradients."""
    x = boxes(levels, grid).requires_grad_()
    new = boxes((0, 0, 0), grid, seed=1).requires_grad_()
    weights = boxes(levels, grid, seed=2)

    blocks = split_blocks(x * 1, levels=levels)
    fused = join_blocks(add_to_blocks_(blocks.clone(), tokens=new - block_mean(blocks)))
    bands = decompose(x.movedim(-1, 1), levels=levels)
    bands = replace(bands, approximation=new.movedim(-1, 1) / bands.scale)
    full = reconstruct(bands).movedim(1, -1)
    torch.testing.assert_close(fused, full)

    got = torch.autograd.grad((fused * weights).sum(), (x, new))
    # At level 0 nothing of x is left.
    expected = torch.autograd.grad((full * weights).sum(), (x, new), materialize_grads=True)
    torch.testing.assert_close(got, expected)


def test_against_pywavelets_directly() -> None:
    """One cubic case without any of our own transforms in between."""
    x = boxes((2, 2, 2), (2, 1, 1))
    coefficients = pywt.wavedecn(x.numpy(), "haar", mode="zero", level=2, axes=(1, 2, 3))
    mean = block_mean(split_blocks(x, levels=(2, 2, 2)))
    torch.testing.assert_close(mean * 2**3, torch.from_numpy(coefficients[0]))


@pytest.mark.parametrize("grid", [(1, 1, 1), (2, 1, 2)])
def test_gradients(grid: Triple) -> None:
    levels = (1, 0, 2)
    x = boxes(levels, grid)[:1].requires_grad_()

    def mixed(x: Tensor) -> Tensor:
        blocks = split_blocks(x, levels=levels)
        mean = block_mean(blocks)
        return add_to_blocks_(blocks * 2, tokens=mean.square() - mean)

    assert torch.autograd.gradcheck(mixed, x)


@pytest.mark.parametrize("grid", [(1, 1, 1), (2, 1, 2)])
def test_half_precision(grid: Triple) -> None:
    x = boxes((2, 2, 2), grid)
    half = split_blocks(x.bfloat16(), levels=(2, 2, 2))
    mean = block_mean(half)
    assert mean.dtype == torch.bfloat16
    exact = block_mean(split_blocks(x, levels=(2, 2, 2)))
    torch.testing.assert_close(mean.double(), exact, atol=0.02, rtol=0)
    assert add_to_blocks_(half, tokens=mean).dtype == torch.bfloat16


def test_channels_do_not_mix() -> None:
    x = boxes((1, 1, 1), (2, 2, 2))
    mean = block_mean(split_blocks(x, levels=(1, 1, 1)))
    alone = block_mean(split_blocks(x[..., 1:2].contiguous(), levels=(1, 1, 1)))
    torch.testing.assert_close(mean[..., 1:2], alone)
