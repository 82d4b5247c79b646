"""Values and places of DICOM volumes against the standard's equations, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from phantom import STRAIGHT, files, place, stored
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ssl3d.data.data_error import BadVolume
from ssl3d.data.files import find_sources
from ssl3d.data.read import check_source, read_source
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec

Series = Callable[..., Path]
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)


def only(folder: Path) -> Source:
    (source,) = find_sources(DataSpec(volumes=str(folder)))
    return source


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    volume, affine = read_source(only(folder))
    return volume[0].numpy(), affine.numpy()


def check_every_pixel(folder: Path, *, within: float = 1e-3) -> None:
    """Each stored pixel stands in the volume, rescaled, where the equation says that it lies."""
    volume, affine = read(folder)
    count = 0
    for file in files(folder):
        frame = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
        for (row, column), value in np.ndenumerate(frame):
            index = np.linalg.solve(affine, [*place(file, row=row, column=column), 1])[:3]
            near = np.round(index).astype(int)
            assert np.abs(index - near).max() < within
            x, y, z = near
            assert volume[z, y, x] == pytest.approx(value, rel=1e-6)
            count += 1
    assert count == volume.size


@pytest.mark.parametrize(
    "orientation", [STRAIGHT, (0, 1, 0, 0, 0, -1), (0, 0, -1, 1, 0, 0), OBLIQUE]
)
def test_every_pixel_of_every_orientation(series: Series, orientation: tuple[float, ...]) -> None:
    check_every_pixel(series(orientation=orientation))


@pytest.mark.parametrize("down", [False, True])
def test_positions_count_and_not_numbers(series: Series, down: bool) -> None:
    heights = np.arange(6) * (-1.5 if down else 1.5)
    check_every_pixel(series(heights=heights))


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
    ],
)
@pytest.mark.parametrize("signed", [False, True])
def test_syntaxes_and_signs(series: Series, syntax: str, signed: bool) -> None:
    voxels = stored() - (1500 if signed else 0)
    kind = ">" if syntax == ExplicitVRBigEndian else "<"
    check_every_pixel(
        series(voxels=voxels.astype(f"{kind}{'i' if signed else 'u'}2"), syntax=syntax)
    )


SYNTAXES = ["RLELossless", "JPEGLSLossless", "JPEG2000Lossless", "JPEGLosslessProcess14_1"]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_compressed(series: Series, tmp_path: Path, syntax: str) -> None:
    """By another library."""
    gdcm = pytest.importorskip("gdcm")
    voxels = np.random.default_rng(0).integers(0, 2000, (4, 33, 34)).astype(np.uint16)
    folder = series(voxels=voxels)
    (tmp_path / "packed").mkdir()
    for path in folder.iterdir():
        reader, change, writer = (
            gdcm.ImageReader(),
            gdcm.ImageChangeTransferSyntax(),
            gdcm.ImageWriter(),
        )
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(tmp_path / "packed" / path.name))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    packed, affine = read(tmp_path / "packed")
    plain, right = read(folder)
    assert files(tmp_path / "packed")[0].file_meta.TransferSyntaxUID.is_compressed
    assert np.array_equal(packed, plain)
    assert np.array_equal(affine, right)


def test_each_slice_has_its_own_scaling(series: Series) -> None:
    def change(number: int, file: Dataset) -> None:
        file.RescaleSlope, file.RescaleIntercept = 0.5 + number, 10 * number

    check_every_pixel(series(change=change))


def test_padding_is_not_valid(series: Series) -> None:
    voxels = stored()
    voxels[:, 0] = -2000
    voxels[2, 3, 1] = -1990

    def value(number: int, file: Dataset) -> None:  # noqa: ARG001
        file.add_new("PixelPaddingValue", "SS", -2000)

    def span(number: int, file: Dataset) -> None:  # noqa: ARG001
        file.add_new("PixelPaddingValue", "SS", -2000)
        file.add_new("PixelPaddingRangeLimit", "SS", -1980)

    plain, _ = read(series("plain", voxels=voxels))
    volume, _ = read(series("value", voxels=voxels, change=value))
    assert np.array_equal(np.isnan(volume), plain == -3024)
    assert np.isnan(volume).mean() == 0.2
    assert np.array_equal(volume[~np.isnan(volume)], plain[~np.isnan(volume)])
    ranged, _ = read(series("span", voxels=voxels, change=span))
    assert np.array_equal(np.isnan(ranged), plain <= -3004)


@pytest.mark.parametrize(("signed", "kind", "value"), [(True, "US", 63536), (False, "SS", -2000)])
def test_padding_of_the_wrong_sign_is_obeyed(
    series: Series, signed: bool, kind: str, value: int
) -> None:
    """Its bits count, as those of a pixel."""
    voxels = stored()
    voxels[:, 0] = -2000
    if not signed:
        voxels = voxels.view(np.uint16)

    def change(number: int, file: Dataset) -> None:  # noqa: ARG001
        file.add_new("PixelPaddingValue", kind, value)
        file.add_new("PixelPaddingRangeLimit", kind, value + 10)

    volume, _ = read(series(voxels=voxels, change=change))
    assert np.isnan(volume).mean() == 0.2


@pytest.mark.parametrize("signed", [False, True])
def test_values_of_32_bits(series: Series, signed: bool) -> None:
    kind = np.int32 if signed else np.uint32
    ends = np.iinfo(kind)
    voxels = np.random.default_rng(0).integers(ends.min, ends.max, (4, 5, 4), kind, endpoint=True)

    def change(number: int, file: Dataset) -> None:  # noqa: ARG001
        file.BitsAllocated = file.BitsStored = 32
        file.HighBit = 31

    check_every_pixel(series(voxels=voxels, change=change))


def test_padding_does_not_count_among_broken_voxels(series: Series) -> None:
    """`max_non_finite` is about values that should be there."""
    from ssl3d.data.preparation import prepare

    voxels = stored(8, 8, 8)
    voxels[:, :4] = -2000

    def change(number: int, file: Dataset) -> None:  # noqa: ARG001
        file.add_new("PixelPaddingValue", "SS", -2000)

    folder = series(voxels=voxels, change=change)
    spec = DataSpec(volumes=str(folder), max_non_finite=0.0)
    assert np.isnan(prepare(only(folder), spec=spec).values).mean() == 0.5
    voxels[:] = -2000
    with pytest.raises(BadVolume, match="all of it is padding"):
        prepare(only(series("empty", voxels=voxels, change=change)), spec=spec)


def test_a_tilted_gantry(series: Series) -> None:
    """Slices lie beside each other's normal: what was stored is found where it lies."""
    tilt = np.radians(20)
    line = np.array([0, np.sin(tilt), np.cos(tilt)])
    z, y, x = np.meshgrid(np.arange(12), np.arange(30), np.arange(8), indexing="ij")
    folder = series(
        line=line, heights=np.arange(12) * 2.0, voxels=(z * 50 + y * 10 + x).astype("i2")
    )
    assert [note for _, note in check_source(only(folder))] == [
        "is sheared, as is a CT with a tilted gantry: it is resampled onto axes at right angles"
    ]
    volume, affine = read(folder)
    inside = 0
    for file in files(folder)[2:-2]:
        for row in range(6, 24):
            where = np.linalg.solve(affine, [*place(file, row=row, column=3), 1])[:3]
            low = np.floor(where).astype(int)[::-1]
            corner = volume[tuple(slice(i, i + 2) for i in low)]
            if corner.shape != (2, 2, 2) or np.isnan(corner).any():
                continue
            part = where[::-1] - low
            weights = np.prod(
                [
                    np.where(axis == 1, p, 1 - p)
                    for axis, p in zip(np.indices((2, 2, 2)), part, strict=True)
                ],
                axis=0,
            )
            value = float(file.pixel_array[row, 3]) - 1024
            assert (corner * weights).sum() == pytest.approx(value, abs=0.5)
            inside += 1
    assert inside > 100


def test_missing_slices_are_not_valid(series: Series) -> None:
    voxels = stored(7)
    folder = series(voxels=voxels[[0, 1, 3, 6]], heights=[0, 2, 6, 12])
    assert [note for _, note in check_source(only(folder))] == [
        "3 of its 7 slices are missing: their voxels are not valid"
    ]
    volume, affine = read(folder)
    whole, right = read(series("whole", voxels=voxels))
    assert np.allclose(affine, right)
    empty = np.isnan(volume).all(axis=(1, 2))
    assert list(empty) == [False, False, True, False, True, True, False]
    assert np.array_equal(volume[~empty], whole[~empty])


def test_unequal_distances_are_resampled(series: Series) -> None:
    heights = np.array([0, 1.0, 2.0, 3.0, 4.3, 6.0, 7.1, 8.0])
    voxels = np.broadcast_to((heights * 100).astype(np.int16)[:, None, None], (8, 4, 4))
    folder = series(voxels=np.ascontiguousarray(voxels), heights=heights)
    ((_, note),) = check_source(only(folder))
    assert note == "its slices lie 0.9 to 1.7 mm apart: it is resampled to 1 mm"
    volume, affine = read(folder)
    assert np.allclose(volume[:, 0, 0], np.arange(9) * 100 - 1024, atol=1)
    assert np.allclose(affine[:3, 2], [0, 0, 1])


def test_rounded_positions_are_even(series: Series) -> None:
    folder = series(voxels=stored(20), heights=np.round(np.arange(20) * 0.625, 2))
    assert check_source(only(folder)) == []
