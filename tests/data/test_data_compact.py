"""Voxels in 16 bits: without rounding where that is possible, else by little, else not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ssl3d.data.compact import STEPS, compact, expand
from ssl3d.data.preparation import Prepared


def volume(values: np.ndarray) -> Prepared:
    return Prepared(np.asarray(values, np.float32), points=np.zeros((1, 3), np.int32))


@given(
    arrays.arrays(
        np.float32, (2, 3, 4, 5), elements=st.floats(width=32, allow_nan=True, allow_infinity=False)
    )
)
def test_few_values_come_back_bit_by_bit(values: np.ndarray) -> None:
    """Whatever they are: both zeros, every NaN."""
    small = compact(volume(values), exact=True)
    assert small is not None
    assert small.rounding == 0
    assert expand(small.codes, small.levels).tobytes() == values.tobytes()


@pytest.mark.parametrize(("number", "fits"), [(2**16, True), (2**16 + 1, False)])
def test_as_many_values_as_16_bits_tell_apart(number: int, fits: bool) -> None:
    values = np.arange(70_000, dtype=np.float32)[None, None, None] % number
    assert (compact(volume(values), exact=True) is not None) == fits


def test_whole_numbers_are_exact_after_any_normalisation() -> None:
    random = np.random.default_rng(0)
    numbers = random.integers(-1000, 3000, size=(1, 30, 50, 60)).astype(np.float32)
    values = (numbers - np.float32(17.3)) / np.float32(123.4)
    small = compact(volume(values))
    assert small is not None
    assert small.rounding == 0
    assert len(small.levels) == len(np.unique(values))
    assert np.array_equal(expand(small.codes, small.levels), values)


def test_many_values_are_rounded_to_the_nearest_level() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(1, 20, 70, 60)).astype(np.float32)
    values[0, 3, 4] = np.nan
    small = compact(volume(values))
    assert small is not None
    back = expand(small.codes, small.levels)
    assert np.array_equal(np.isnan(back), np.isnan(values))
    # The nearest level, found by looking at all of them.
    some = values[0, 5, :4].reshape(-1)
    nearest = np.abs(small.levels[None, :-1] - some[:, None]).min(axis=1)
    assert np.allclose(np.abs(back[0, 5, :4].reshape(-1) - some), nearest, atol=1e-6)
    assert small.rounding == np.nanmax(np.abs(back - values))
    low, high = np.nanpercentile(values, (0.5, 99.5))
    assert small.rounding <= (high - low) / STEPS / 2 * 1.001
    assert compact(volume(values), exact=True) is None


def test_what_rounding_would_blur_stays_as_it_is() -> None:
    """A spike leaves the others too few steps."""
    random = np.random.default_rng(0)
    values = random.normal(size=(1, 20, 70, 60)).astype(np.float32)
    values[0, 0, 0, 0] = 1000
    assert compact(volume(values)) is None
    flat = values.copy()
    flat[:] = 1
    flat[0, 0] = values[0, 0]
    flat[0, 1:] += np.arange(19 * 70 * 60).reshape(19, 70, 60) * np.float32(1e-6)
    assert compact(volume(flat[:, :, :, ::-1] * 0.001 + values * 1e-9)) is None


def test_a_channel_that_is_missing_counts_for_nothing() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(2, 20, 70, 60)).astype(np.float32)
    values[1] = np.nan
    small = compact(volume(values))
    assert small is not None
    assert np.isnan(expand(small.codes, small.levels)[1]).all()
