"""Labelled sets made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a (z, y, x) array as NIfTI under the test's folder, in RAS at 1 mm by default."""

    def write(name: str, array: np.ndarray, *, affine: np.ndarray | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        affine = np.eye(4) if affine is None else affine
        nibabel.Nifti1Image(np.transpose(array), affine).to_filename(path)
        return path

    return write


@pytest.fixture
def write_set(write: Write) -> Callable[..., None]:
    """Write cases `000`, `001`, ...: noise, brighter where labels 1 and 2 are."""

    def write_set(
        number: int, *, shape: tuple[int, int, int] = (12, 14, 16), ending: str = ".nii"
    ) -> None:
        for case in range(number):
            rng = np.random.default_rng(case)
            labels = np.zeros(shape, np.uint8)
            labels[2:5, 3:6, 4:8], labels[7:10, 8:11, 9:12] = 1, 2
            image = rng.normal(size=shape).astype(np.float32) + 4 * labels
            write(f"images/{case:03d}{ending}", image)
            write(f"labels/{case:03d}{ending}", labels)

    return write_set
