"""Small volumes made on the spot, and the real ones where they are present."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

Writer = Callable[..., Path]


@pytest.fixture
def write_nifti(tmp_path: Path) -> Writer:
    """Write a (z, y, x) array as NIfTI under the test's folder, by default in RAS."""

    def write(
        name: str,
        array: np.ndarray,
        *,
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        affine: np.ndarray | None = None,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if affine is None:
            affine = np.diag([*reversed(spacing), 1.0])
        order = (2, 1, 0) if array.ndim == 3 else tuple(range(array.ndim))
        nibabel.Nifti1Image(np.transpose(array, order), affine).to_filename(path)
        return path

    return write


@pytest.fixture
def noisy() -> Callable[..., np.ndarray]:
    """A (z, y, x) float32 volume with a bright block in the middle, different for each seed."""

    def make(shape: tuple[int, int, int] = (20, 24, 28), seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        volume = rng.normal(100, 5, size=shape).astype(np.float32)
        middle = tuple(slice(s // 3, 2 * s // 3) for s in shape)
        volume[middle] += 300
        return volume

    return make


@pytest.fixture
def real_data() -> Path:
    """Folder of real volumes."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("SSL3D_TEST_DATA", beside))
    if not (folder / "volumes").is_dir():
        pytest.skip(f"no real volumes in {folder}: set SSL3D_TEST_DATA to a folder that has them")
    return folder
