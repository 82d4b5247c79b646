from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ssl3d.data.intensity import NoContrast, foreground, normalise, otsu
from ssl3d.data.intensity_spec import CTWindow, Percentile, ZScore


def volume(seed: int = 0, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.gamma(2.0, 200.0, size=(channels, 8, 9, 10)).astype(np.float32) - 300


def everywhere(array: np.ndarray) -> np.ndarray:
    return np.isfinite(array).all(axis=0)


def test_ct_window() -> None:
    array = volume()
    result = normalise(array, how=CTWindow(lower=-160, upper=240), foreground=everywhere(array))
    assert np.allclose(result, np.clip((array.astype(np.float64) + 160) / 400, 0, 1), atol=1e-6)


@pytest.mark.parametrize("clip", [True, False])
def test_percentiles_of_each_channel(clip: bool) -> None:
    array = volume(channels=2)
    array[1] *= 1e4
    how = Percentile(lower=2, upper=95, clip=clip)
    result = normalise(array, how=how, foreground=everywhere(array))
    for channel, got in zip(array.astype(np.float64), result, strict=True):
        low, high = np.percentile(channel, [2, 95])
        expected = (channel - low) / (high - low)
        assert np.allclose(got, np.clip(expected, 0, 1) if clip else expected, atol=1e-5)


def test_percentiles_that_coincide_give_way_to_the_extremes() -> None:
    array = np.zeros((1, 10, 10, 10), np.float32)
    array[0, 0, 0, :2] = 3.0, 6.0
    result = normalise(array, how=Percentile(), foreground=everywhere(array))
    assert result[0, 0, 0, :3].tolist() == [0.5, 1.0, 0.0]


def test_zscore_over_the_foreground() -> None:
    array = volume(channels=2)
    inside = foreground(array, threshold=100.0)
    assert np.array_equal(inside, (array > 100).any(axis=0))
    result = normalise(array, how=ZScore(), foreground=inside)
    assert np.allclose(result[:, inside].mean(axis=1), 0, atol=1e-5)
    assert np.allclose(result[:, inside].std(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("how", [CTWindow(), Percentile(), ZScore()])
def test_voxels_that_are_not_valid_stay_so_and_count_for_nothing(how) -> None:
    array = volume()
    holed = array.copy()
    holed[0, :2] = np.nan
    inside = foreground(holed, threshold="otsu")
    assert not inside[:2].any()
    result = normalise(holed, how=how, foreground=inside)
    alone = normalise(array[:, 2:], how=how, foreground=inside[2:])
    assert np.isnan(result[0, :2]).all()
    assert np.array_equal(result[:, 2:], alone)


def binned(values: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Values as the middles of their bins, and the edges between bins."""
    low, high = np.percentile(values, [0.5, 99.5])
    values = np.clip(values.astype(np.float64), low, high)
    edges = np.linspace(low, high, bins + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    return centres[places], edges[1:-1]


def between(values: np.ndarray, threshold: float) -> float:
    """Variance between the classes on both sides of a threshold."""
    under, over = values[values < threshold], values[values >= threshold]
    if not len(under) or not len(over):
        return 0.0
    return float(len(under) * len(over) * (under.mean() - over.mean()) ** 2)


@settings(max_examples=25, deadline=None)
@example(seed=4950, gap=0.099609375, share=0.1015625)  # two thresholds are equally good
@given(seed=st.integers(0, 10_000), gap=st.floats(0, 50), share=st.floats(0.1, 0.9))
def test_no_threshold_is_better_than_otsu(seed: int, gap: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=600) + gap * (rng.random(600) < share)
    values = values.astype(np.float32)
    middles, edges = binned(values, 32)
    best = max(between(middles, edge) for edge in edges)
    assert between(middles, otsu(values, bins=32)) == pytest.approx(best, rel=1e-6)


def test_otsu_takes_the_middle_of_a_gap() -> None:
    values = np.concatenate([np.zeros(50), np.full(50, 10.0)]).astype(np.float32)
    assert otsu(values, bins=32) == pytest.approx(5.0, abs=1e-4)


def test_otsu_is_not_moved_by_a_few_extreme_voxels() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 5000), rng.normal(100, 1, 5000), [1e7, 1.7e6]])
    assert 5 < otsu(values.astype(np.float32)) < 95


def test_no_contrast_is_said() -> None:
    array = volume()
    inside = everywhere(array)
    with pytest.raises(NoContrast, match=r"no contrast between 5000 and 6000.*data.normalise"):
        normalise(array, how=CTWindow(lower=5000, upper=6000), foreground=inside)
    with pytest.raises(NoContrast, match=r"every voxel is 7"):
        normalise(np.full_like(array, 7), how=Percentile(), foreground=inside)
    with pytest.raises(NoContrast, match=r"no voxel is above data.foreground.threshold 1000000\.0"):
        foreground(array, threshold=1e6)
    assert foreground(array, threshold="none").all()
