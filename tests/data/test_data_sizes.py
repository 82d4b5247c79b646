"""What is said of sizes and spacings before a run, from headers alone."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from rich.console import Console

from ssl3d.data.files import find_sources
from ssl3d.data.outline import outline
from ssl3d.data.read import read_source, target_grid
from ssl3d.data.sizes import header_grid, size_warnings
from ssl3d.data.spec import DataSpec
from ssl3d.tasks.pretrain.data_summary import print_data_summary


def write(
    path: Path, shape: tuple[int, int, int], steps: tuple[float, ...], *, axes: str = "RAS"
) -> None:
    """A file whose array axes point to `axes`; shape and steps in the file's own order."""
    affine = np.zeros((4, 4))
    for i, letter in enumerate(axes):
        world = next(k for k, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        affine[world, i] = steps[i] * (1 if letter in "RAS" else -1)
    affine[3, 3] = 1
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    nibabel.Nifti1Image(values, affine).to_filename(path)


def said(folder: Path, **options: object) -> list[str]:
    spec = DataSpec(volumes=str(folder), **{"patch": (16, 16, 16), **options})
    return list(size_warnings(find_sources(spec), spec=spec))


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAR", "PIL", "ASL"])
def test_the_grid_is_that_of_the_volume_as_it_is_read(tmp_path: Path, axes: str) -> None:
    write(tmp_path / "a.nii", (5, 7, 9), (1.0, 2.0, 3.0), axes=axes)
    grid = header_grid(tmp_path / "a.nii")
    (source,) = find_sources(DataSpec(volumes=str(tmp_path)))
    volume, affine = read_source(source)
    assert grid is not None
    assert grid.shape == tuple(volume.shape[1:])
    x, y, z = affine[:3, :3].norm(dim=0).tolist()
    assert grid.spacing == pytest.approx((z, y, x))


@pytest.mark.parametrize("spacing", [None, (0.7, 1.5, 2.0), (3.0005, 2.4, 9.0), (40.0, 40.0, 40.0)])
@pytest.mark.parametrize("shape", [(5, 8, 12), (30, 31, 33), (1200, 2, 2)])
def test_the_size_that_is_said_is_the_one_that_is_prepared(
    tmp_path: Path, shape: tuple[int, int, int], spacing: tuple[float, float, float] | None
) -> None:
    write(tmp_path / "a.nii", shape, (1.0, 2.0, 3.0), axes="PIL")
    (source,) = find_sources(DataSpec(volumes=str(tmp_path)))
    x, y, z = target_grid(source, spacing=spacing).shape
    assert header_grid(tmp_path / "a.nii").shape_at(spacing) == (z, y, x)
    spec = DataSpec(volumes=str(tmp_path), spacing=spacing, patch=8)
    console = Console(record=True, width=120)
    print_data_summary(spec, console=console)
    assert spacing is None or f"mm: {z} × {y} × {x} voxels" in console.export_text()


def test_volumes_far_smaller_than_the_patch(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz", (16, 16, 16), (1, 1, 1))
    write(tmp_path / "b.nii.gz", (3, 4, 5), (1, 1, 1))
    write(tmp_path / "c.nii.gz", (16, 16, 3), (1, 1, 1))
    (line,) = said(tmp_path)
    assert "2 of 3 volumes fill less than 25% of data.patch, 16 × 16 × 16 voxels" in line
    assert "b.nii.gz, 5 × 4 × 3 voxels" in line
    assert said(tmp_path, patch=(4, 4, 4)) == []


def test_resampling_counts(tmp_path: Path) -> None:
    write(tmp_path / "a.nii.gz", (16, 16, 16), (1, 1, 1))
    assert said(tmp_path, spacing=1.5) == []
    (line,) = said(tmp_path, spacing=4.0)
    assert "a.nii.gz, 5 × 5 × 5 voxels" in line


def test_of_crops_that_are_larger_than_the_patch(tmp_path: Path) -> None:
    """Views of several levels are made of them."""
    write(tmp_path / "a.nii.gz", (16, 16, 16), (1.0, 1.0, 1.0))
    assert said(tmp_path, patch=(16, 16, 16)) == []
    spec = DataSpec(volumes=str(tmp_path), patch=(16, 16, 16))
    (line,) = size_warnings(find_sources(spec), spec=spec, extent=(32, 32, 32))
    assert "fill less than 25% of a crop, 32 × 32 × 32 voxels" in line


def test_mixed_spacings(tmp_path: Path) -> None:
    for i, step in enumerate((1.0, 1.2, 5.0)):
        write(tmp_path / f"{i}.nii.gz", (16, 16, 16), (0.5, 0.5, step))
    (line,) = said(tmp_path)
    assert "1 to 5 × 0.5 × 0.5 mm (z, y, x), and data.spacing is none" in line
    assert "the medians are [1.2, 0.5, 0.5]" in line
    assert said(tmp_path, spacing=1.0, patch=(8, 8, 8)) == []
    (tmp_path / "2.nii.gz").unlink()
    assert said(tmp_path) == []


def test_every_format_is_looked_into(tmp_path: Path) -> None:
    """By the header's codes, units and directions, as the volume is read."""
    for module in ("itk", "nrrd"):
        pytest.importorskip(module)
    raw = np.random.default_rng(0).normal(size=(5, 7, 9)).astype("<f4").tobytes()
    (tmp_path / "a.mha").write_bytes(
        b"NDims = 3\nDimSize = 5 7 9\nElementSpacing = 1 2 3\nElementType = MET_FLOAT\n"
        b"ElementDataFile = LOCAL\n" + raw
    )
    (tmp_path / "b.nrrd").write_bytes(
        b"NRRD0004\ntype: float\ndimension: 3\nsizes: 5 7 9\nspace: LPS\nspace directions: "
        b"(0,0,1) (2,0,0) (0,3,0)\nendian: little\nencoding: raw\n\n" + raw
    )
    image = nibabel.Nifti1Image(np.frombuffer(raw, "<f4").reshape(5, 7, 9), np.eye(4))
    image.set_sform(np.diag([0.001, 0.002, 0.003, 1]), 1)
    image.header["pixdim"][1:4] = 5
    image.header.set_xyzt_units("meter")
    image.to_filename(tmp_path / "c.nii.gz")
    found = outline(DataSpec(volumes=str(tmp_path)))
    assert len(found.grids) == 3
    for source in find_sources(DataSpec(volumes=str(tmp_path))):
        volume, affine = read_source(source)
        grid = header_grid(source.files[0])
        assert grid in found.grids
        assert grid.shape == tuple(volume.shape[1:])
        x, y, z = affine[:3, :3].norm(dim=0).tolist()
        assert grid.spacing == pytest.approx((z, y, x), rel=1e-6)
