"""Volumes are cut to the box around their foreground, and nothing else about them changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ssl3d.data.disk import DiskVolume
from ssl3d.data.files import Source, find_sources
from ssl3d.data.preparation import Prepared, prepare
from ssl3d.data.read import target_grid
from ssl3d.data.spec import DataSpec
from ssl3d.data.store import VolumeStore


def spec_of(tmp_path: Any, margin: int | None) -> DataSpec:
    return DataSpec(
        volumes=str(tmp_path / "a.nii"),
        foreground={"margin": margin, "threshold": 1000},
        cache={"folder": str(tmp_path / "cache"), "memory": 0},
    )


def prepared(tmp_path: Any, margin: int | None) -> tuple[Source, Prepared]:
    spec = spec_of(tmp_path, margin)
    (source,) = find_sources(spec)
    return source, prepare(source, spec=spec)


@pytest.fixture
def voxels(write_nifti: Any, noisy: Any) -> np.ndarray:
    """Foreground in two places, one of them near a corner."""
    voxels = noisy((30, 40, 50))
    voxels[10:13, 20, 25:30] = 2000
    voxels[2, 30, 44] = 3000
    write_nifti("a.nii", voxels, spacing=(2.0, 1.0, 0.5))
    return voxels


@pytest.mark.parametrize("margin", [0, 1, 4, 100])
def test_the_box_holds_the_foreground_and_a_margin(
    tmp_path: Any, voxels: np.ndarray, margin: int
) -> None:
    places = np.argwhere(voxels > 1000)
    low = np.maximum(places.min(axis=0) - margin, 0)
    high = np.minimum(places.max(axis=0) + 1 + margin, voxels.shape)
    _, whole = prepared(tmp_path, None)
    source, cut = prepared(tmp_path, margin)
    assert whole.corner == (0, 0, 0)
    assert cut.corner == tuple(low)
    inside = (slice(None), *map(slice, low, high))
    # Intensities are those of the whole volume.
    assert cut.values.tobytes() == np.ascontiguousarray(whole.values[inside]).tobytes()
    assert cut.values.flags.c_contiguous
    # The same voxels in the same order.
    assert np.array_equal(cut.points + low, whole.points)
    assert (voxels[tuple((cut.points + low).T)] > 1000).all()
    # Where the first voxel of the box lies, in mm.
    z, y, x = low
    first = target_grid(source).moved(cut.corner).affine[:3, 3]
    assert np.allclose(first, (0.5 * x, 1.0 * y, 2.0 * z))


@pytest.mark.usefixtures("voxels")
def test_the_cache_keeps_each_apart(tmp_path: Any) -> None:
    for margin in (None, 2):
        source, expected = prepared(tmp_path, margin)
        for _ in range(2):
            volume = VolumeStore(spec_of(tmp_path, margin)).volume(source)
            assert isinstance(volume, DiskVolume)
            assert volume.corner == expected.corner
            assert volume.load().values.tobytes() == expected.values.tobytes()
            assert volume.load().corner == expected.corner
