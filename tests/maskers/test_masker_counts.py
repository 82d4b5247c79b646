"""How many blocks the maskers hide, compared with a count made block by block."""

import itertools
import math
from fractions import Fraction

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d.geometry import product
from ssl3d_plugins.maskers import MiM, Random
from ssl3d_plugins.maskers.blocks import divisors, fit_block, fit_inner_block

grids = st.tuples(*[st.integers(1, 6)] * 3).filter(lambda grid: product(grid) > 1)
percents = st.integers(1, 99)
seeds = st.integers(0, 2**31)
modest = settings(max_examples=60, deadline=None)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def expected_count(percent, blocks):
    """Round half up, in exact arithmetic; at least one, never all, none of fewer than two."""
    if blocks < 2:
        return 0
    half_up = math.floor(Fraction(percent, 100) * blocks + Fraction(1, 2))
    return min(max(half_up, 1), blocks - 1)


def blocks_of(array, block):
    """The blocks of a (Gd, Gh, Gw) array, one by one."""
    starts = [range(0, g, b) for g, b in zip(array.shape, block, strict=True)]
    for z, y, x in itertools.product(*starts):
        yield array[z : z + block[0], y : y + block[1], x : x + block[2]]


def check_level(hidden, among, block, percent):
    """The hidden cells of one sample are an exact number of whole blocks of `among`."""
    pairs = list(zip(blocks_of(hidden, block), blocks_of(among, block), strict=True))
    able = [(h, a) for h, a in pairs if a.sum() * 2 >= a.size]
    if len(able) < 2:
        assert hidden.sum() == expected_count(percent, int(among.sum()))
        return
    for h, a in able:
        assert h.sum() in (0, a.sum()), "a block is hidden in part"
    assert sum(bool(h.any()) for h, _ in able) == expected_count(percent, len(able))
    assert hidden.sum() == sum(h.sum() for h, _ in able), "a block that may not be hidden is"


@st.composite
def fixed_blocks(draw, grid):
    block = tuple(draw(st.sampled_from(divisors(g))) for g in grid)
    return block if block != grid else (1, 1, 1)


@modest
@given(st.data(), grids, percents, seeds)
def test_random_hides_the_exact_number_of_blocks(data, grid, percent, seed):
    block = data.draw(st.one_of(st.just("auto"), fixed_blocks(grid)))
    config = Random(ratio=percent / 100, block=block)
    hideable = torch.rand((4, *grid), generator=generator(seed + 1)) < 0.7
    hideable[0] = True
    hidden = config.build()(grid, batch_size=4, generator=generator(seed), hideable=hideable)
    fitted = fit_block(config.block, grid=grid)
    for sample, among in zip(hidden.levels[0].numpy(), hideable.numpy(), strict=True):
        check_level(sample, among, fitted, percent)


@modest
@given(st.data(), grids, percents, percents, seeds)
def test_mim_counts_level_1_inside_level_0(data, grid, percent, local_percent, seed):
    outer = data.draw(st.one_of(st.just("auto"), fixed_blocks(grid)))
    config = MiM(global_ratio=percent / 100, local_ratio=local_percent / 100, global_block=outer)
    hideable = torch.rand((4, *grid), generator=generator(seed + 1)) < 0.7
    hideable[0] = True
    hidden = config.build()(grid, batch_size=4, generator=generator(seed), hideable=hideable)
    coarse = fit_block(config.global_block, grid=grid)
    fine = fit_inner_block("auto", outer=coarse)
    for level_0, level_1, among in zip(
        *(x.numpy() for x in (*hidden.levels, hideable)), strict=True
    ):
        check_level(level_0, among, coarse, percent)
        check_level(level_1, level_0, fine, local_percent)
        assert not (level_1 & ~level_0).any()
        if level_0.sum() >= 2:
            assert 0 < level_1.sum() < level_0.sum()
        else:
            assert level_1.sum() == 0


def test_a_grid_of_two_cells_hides_one_of_them():
    hidden = Random(ratio=0.9).build()((1, 1, 2), batch_size=64, generator=generator(0)).levels[0]
    assert (hidden.sum((1, 2, 3)) == 1).all()
    assert hidden[..., 0].any()
    assert hidden[..., 1].any()


def test_a_range_draws_one_ratio_for_the_whole_batch():
    masker = Random(ratio=(0.2, 0.8)).build()
    shared = generator(0)
    counts = []
    for _ in range(60):
        per_sample = masker((10, 10, 10), batch_size=3, generator=shared).levels[0].sum((1, 2, 3))
        assert len(set(per_sample.tolist())) == 1
        counts.append(int(per_sample[0]))
    assert 200 <= min(counts) < 300
    assert 700 < max(counts) <= 800


def test_every_cell_is_hidden_equally_often():
    masker = Random(ratio=0.5, block=(1, 2, 1)).build()
    shares = masker((2, 4, 3), batch_size=4000, generator=generator(0)).levels[0].float().mean(0)
    np.testing.assert_allclose(shares.numpy(), 0.5, atol=0.04)


def test_passes_and_weights_reach_the_levels():
    config = MiM(passes="nested", level_weights=(1.0, 0.25))
    hidden = config.build()((4, 4, 4), batch_size=2, generator=generator(0))
    assert (hidden.passes, hidden.weights) == ("nested", (1.0, 0.25))
    first, second = hidden.encoder_passes()
    assert torch.equal(first.levels[0], hidden.levels[0])
    assert torch.equal(second.levels[0], hidden.levels[1])
