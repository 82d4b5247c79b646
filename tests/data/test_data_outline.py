"""What headers say of the data, against files that were written to say it."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ssl3d.data.data_error import DataError
from ssl3d.data.outline import outline
from ssl3d.data.spec import DataSpec


def write(path: Path, *, size: tuple[int, int, int], affine: np.ndarray) -> None:
    values = np.arange(np.prod(size), dtype=np.float32).reshape(size)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


def test_grids_are_told_in_z_y_x_whichever_way_a_file_lies(tmp_path: Path) -> None:
    spacing, size = np.array([0.5, 1.0, 3.0]), np.array([4, 5, 6])  # along x, y, z
    for i, order in enumerate(itertools.permutations(range(3))):
        affine = np.zeros((4, 4))
        affine[3, 3] = 1
        for a, world in enumerate(order):  # axis a of the file lies along x, y or z
            affine[world, a] = spacing[world] * (-1) ** (i + a)
        write(tmp_path / f"{i}.nii.gz", size=tuple(size[list(order)]), affine=affine)
    found = outline(DataSpec(volumes=str(tmp_path)))
    assert set(found.grids) == {((6, 5, 4), (3.0, 1.0, 0.5))}
    assert len(found.grids) == 6
    assert found.training + found.held_out == found.groups == 6


def test_bad_files_and_groups(tmp_path: Path) -> None:
    for name in ("a1", "a2", "b1", "b2"):
        write(tmp_path / f"{name}.nii.gz", size=(8, 8, 8), affine=np.eye(4))
    (tmp_path / "c1.nii.gz").write_bytes(b"none")
    spec = DataSpec(volumes=str(tmp_path), group_by="([a-z])[0-9]")
    found = outline(spec)
    assert (found.training, found.held_out, found.groups) == (2, 2, 2)
    assert [Path(name).name for name in found.bad] == ["c1.nii.gz"]
    with pytest.raises(DataError, match=r"c1\.nii\.gz"):
        outline(spec.model_copy(update={"on_bad_file": "stop"}))
    with pytest.raises(DataError, match="there is no file"):
        outline(DataSpec(volumes=str(tmp_path / "nowhere")))
