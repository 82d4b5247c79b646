"""Constant and narrow volumes, and whatever else goes wrong with one volume: named, in any case."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_batches import first, found

from ssl3d.data import preparation
from ssl3d.data.data_error import BadVolume
from ssl3d.data.intensity import STEPS, NoContrast, check_values, foreground, narrow, normalise
from ssl3d.data.intensity_spec import CTWindow, Percentile, ZScore
from ssl3d.data.preparation import prepare
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec

THRESHOLDS = ["otsu", "none", -500.0]
NORMALISE = ["percentile", "zscore", {"name": "ct_window", "lower": -2000, "upper": 2000}]


def save(path: Path, array: np.ndarray) -> Source:
    nibabel.Nifti1Image(array, np.eye(4), dtype=array.dtype).to_filename(path)
    return Source((path,))


def noise(size: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, size, size))


@pytest.mark.parametrize("spacing", [None, 0.7, (3.0, 1.1, 0.6)])
@pytest.mark.parametrize("value", [-1000, -999.99, 0, 1e-30, 0.1, 7, 1 / 3, 16777217, 3e38])
def test_a_constant_volume_is_named_whatever_the_value(tmp_path: Path, value, spacing) -> None:
    for dtype in (np.float32, np.float64, np.int32):
        if dtype is np.int32 and value != int(min(value, 2e9)):
            continue
        source = save(tmp_path / "a.nii", np.full((12, 12, 12), value, dtype))
        for threshold in THRESHOLDS:
            for how in NORMALISE:
                spec = DataSpec(
                    volumes="x",
                    spacing=spacing,
                    normalise=how,
                    foreground={"threshold": threshold},
                )
                with pytest.raises(BadVolume, match=r"a\.nii: no contrast: every voxel is "):
                    prepare(source, spec=spec)


@pytest.mark.parametrize("spacing", [None, 0.7, 1.3])
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("background", [-1000, -1024, 4095])
def test_the_background_stays_background(tmp_path: Path, spacing, threshold, background) -> None:
    """0.2 % of the voxels differ: resampling must not make the rest look like noise."""
    rod = np.full((40, 40, 40), background, np.int16)
    rod[18:20, 18:20, 5:35] = 5600
    source = save(tmp_path / "rod.nii", rod)
    spec = DataSpec(volumes="x", spacing=spacing, foreground={"threshold": threshold})
    values = prepare(source, spec=spec).values
    values = values[np.isfinite(values)]
    assert np.abs(np.median(values)) < 1e-3
    assert (values > 0.01).mean() < 0.01
    assert values.max() > 0.9


@pytest.mark.parametrize("spacing", [None, 0.7])
def test_a_range_that_single_precision_cannot_hold_names_the_file(tmp_path: Path, spacing) -> None:
    for i in range(3):
        save(tmp_path / f"good{i}.nii", noise(seed=i))
    save(tmp_path / "larmor_hz.nii", 127.74e6 + 100 * noise())
    spec = DataSpec(volumes=str(tmp_path), patch=8, workers=0, holdout=0, spacing=spacing)
    volumes = found(spec)
    first(volumes, 6)
    ((name, problem),) = volumes.bad_files().items()
    assert name == f"{tmp_path}/larmor_hz.nii"
    assert "its values lie between 1277" in problem
    assert "less than 256 steps of single precision apart: subtract an offset" in problem


@settings(max_examples=200, deadline=None)
@given(low=st.floats(-1e30, 1e30), steps=st.integers(0, 2 * STEPS))
def test_narrow_counts_steps_of_single_precision(low: float, steps: int) -> None:
    low = float(np.float32(low))
    high = low
    for _ in range(steps):
        high = float(np.nextafter(np.float32(high), np.float32(np.inf)))
    step = float(np.spacing(np.float32(max(abs(low), abs(high)))))
    assert narrow(low, high) == (high - low < STEPS * step)
    if steps >= 2 * STEPS and np.sign(low) == np.sign(high):
        assert not narrow(low, high)


def test_values_are_judged_as_they_are_stored() -> None:
    """Integers of 64 bits and doubles beyond what single precision tells apart."""
    with pytest.raises(NoContrast, match=r"lie between 9.00719925474e\+15 and"):
        check_values(np.array([2**53, 2**53 + 1]), max_non_finite=0)
    with pytest.raises(NoContrast, match="every voxel is 1"):
        check_values(np.ones(5, np.uint8), max_non_finite=0)
    with pytest.raises(NoContrast, match=r"-1e\+300 to 1e\+300, are beyond single precision"):
        check_values(np.array([-1e300, 1e300]), max_non_finite=0)
    with pytest.raises(NoContrast, match=r"50\.0% of its voxels are NaN"):
        check_values(np.array([np.nan, 1.0]), max_non_finite=0.3)
    check_values(np.array([0, 2**62]), max_non_finite=0)
    check_values(np.array([np.nan, 1.0, 2.0]), max_non_finite=0.4)


@settings(max_examples=60, deadline=None)
@given(
    offset=st.floats(-1e8, 1e8),
    scale=st.floats(1e-3, 1e6),
    share=st.floats(0, 1),
    how=st.sampled_from([Percentile(), ZScore(), CTWindow(), Percentile(lower=0, upper=50)]),
)
def test_no_values_do_anything_but_give_a_volume_or_a_reason(offset, scale, share, how) -> None:
    rng = np.random.default_rng(0)
    inside = rng.random((1, 6, 6, 6)) < share
    volume = (offset + scale * rng.normal(size=inside.shape) * inside).astype(np.float32)
    try:
        check_values(volume, max_non_finite=0)
        bright = foreground(volume, threshold="otsu")
        values = normalise(volume, how=how, foreground=bright)
    except NoContrast:
        return
    assert np.isfinite(values).all()
    assert values.min() < values.max()


def test_any_failure_names_its_volume(tmp_path: Path, monkeypatch) -> None:
    source = save(tmp_path / "a.nii", noise())
    spec = DataSpec(volumes=str(tmp_path))

    for error, kind, message in (
        (ZeroDivisionError("no"), BadVolume, r"a\.nii: cannot be prepared: ZeroDivisionError: no"),
        (MemoryError(), MemoryError, r"a\.nii: not enough memory"),
        (MemoryError("Unable to allocate"), MemoryError, r"a\.nii: Unable to allocate"),
    ):
        monkeypatch.setattr(preparation, "normalise", Mock(side_effect=error))
        with pytest.raises(kind, match=message):
            prepare(source, spec=spec)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_failure_of_one_volume_does_not_end_the_run(tmp_path: Path, monkeypatch, workers) -> None:
    for i in range(4):
        save(tmp_path / f"{i}.nii", noise(8, seed=i))
    read = preparation.read_source

    def flaky(source: Source, **options):
        if source.files[0].name == "2.nii":
            raise RuntimeError("a library\nof a stranger")
        return read(source, **options)

    monkeypatch.setattr(preparation, "read_source", flaky)
    spec = DataSpec(volumes=str(tmp_path), patch=8, workers=workers, holdout=0)
    volumes = found(spec)
    first(volumes, 4)
    ((name, problem),) = volumes.bad_files().items()
    assert name == f"{tmp_path}/2.nii"
    assert problem.endswith("cannot be prepared: RuntimeError: a library of a stranger")
