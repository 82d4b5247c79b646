"""How many blocks the maskers hide, compared with a count made block by block."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d.geometry import product
from ssl3d.testing.masker_checks import MaskerUnderTest
from ssl3d_plugins.maskers import MiM, Random
from ssl3d_plugins.maskers.blocks import divisors, fit_block, fit_inner_block

grids = st.tuples(*[st.integers(1, 6)] * 3).filter(lambda grid: product(grid) > 1)
percents = st.integers(1, 99)
seeds = st.integers(0, 2**31)
modest = settings(max_examples=60, deadline=None)


def draw(config, grid, *, crop=0, micro_batch=0, hideable=None):
    """Levels as arrays (Gd, Gh, Gw)."""
    under_test = MaskerUnderTest(config)
    drawn = under_test.draw(grid, crop=crop, micro_batch=micro_batch, hideable=hideable)
    return [level.numpy() for level in drawn.levels]


def some_hideable(grid, seed):
    """All cells, and some."""
    random = torch.Generator().manual_seed(seed)
    return torch.ones(grid, dtype=torch.bool), torch.rand(grid, generator=random) < 0.7


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
    fitted = fit_block(config.block, grid=grid)
    for hideable in some_hideable(grid, seed):
        (hidden,) = draw(config, grid, crop=seed, hideable=hideable)
        check_level(hidden, hideable.numpy(), fitted, percent)


@modest
@given(st.data(), grids, percents, percents, seeds)
def test_mim_counts_level_1_inside_level_0(data, grid, percent, local_percent, seed):
    outer = data.draw(st.one_of(st.just("auto"), fixed_blocks(grid)))
    config = MiM(global_ratio=percent / 100, local_ratio=local_percent / 100, global_block=outer)
    coarse = fit_block(config.global_block, grid=grid)
    fine = fit_inner_block("auto", outer=coarse)
    for hideable in some_hideable(grid, seed):
        level_0, level_1 = draw(config, grid, crop=seed, hideable=hideable)
        check_level(level_0, hideable.numpy(), coarse, percent)
        check_level(level_1, level_0, fine, local_percent)
        assert not (level_1 & ~level_0).any()
        if level_0.sum() >= 2:
            assert 0 < level_1.sum() < level_0.sum()
        else:
            assert level_1.sum() == 0


def test_a_grid_of_two_cells_hides_one_of_them():
    drawn = [draw(Random(ratio=0.9), (1, 1, 2), crop=crop)[0] for crop in range(64)]
    assert all(hidden.sum() == 1 for hidden in drawn)
    assert any(hidden[0, 0, 0] for hidden in drawn)
    assert any(hidden[0, 0, 1] for hidden in drawn)


@pytest.mark.parametrize(
    ("config", "lowest", "highest"),
    [
        (Random(ratio=(0.2, 0.8)), (200,), (800,)),
        (Random(ratio=(0.2, 0.8), block=2), (200,), (800,)),
        (MiM(global_ratio=(0.2, 0.8), global_block=1), (200, 100), (800, 400)),
        (MiM(global_ratio=0.5, local_ratio=(0.2, 0.8), global_block=1), (500, 100), (500, 400)),
        (MiM(global_ratio=(0.2, 0.8), local_ratio=(0.2, 0.8)), (200, 40), (800, 640)),
    ],
)
def test_a_range_draws_one_ratio_for_all_crops_of_a_batch(config, lowest, highest):
    counts = []
    for first in range(0, 120, 3):
        by_crop = [
            tuple(
                int(level.sum()) for level in draw(config, (10, 10, 10), crop=n, micro_batch=first)
            )
            for n in range(first, first + 3)
        ]
        assert len(set(by_crop)) == 1, "crops of a batch hide unequally many"
        counts.append(by_crop[0])
    for number, found in enumerate(zip(*counts, strict=True)):
        low, high = lowest[number], highest[number]
        assert low <= min(found) <= max(found) <= high
        assert low == high or max(found) - min(found) > (high - low) / 2, "no range was drawn"


def test_every_cell_is_hidden_equally_often():
    config = Random(ratio=0.5, block=(1, 2, 1))
    shares = np.mean([draw(config, (2, 4, 3), crop=crop)[0] for crop in range(4000)], 0)
    np.testing.assert_allclose(shares, 0.5, atol=0.04)
