"""Facts of one file, against numbers that were found in another way."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import matplotlib.image
import nibabel
import numpy as np
import pytest
from made import nifti, noise, series

from ssl3d.data.files import find_sources
from ssl3d.data.label_maps import whole_numbers
from ssl3d.data.spec import DataSpec
from ssl3d.report.thumbnail import EDGE
from ssl3d.tasks.inspect.facts import PERCENTILES, Facts
from ssl3d.tasks.inspect.look import look_at

SPACING = (0.5, 0.75, 3.0)


def one_file(folder: Path) -> Path:
    (source,) = find_sources(DataSpec(volumes=str(folder)))
    return source.files[0]


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAL"])
def test_shape_spacing_axes_and_values(axes: str) -> None:
    path = nifti(Path("a.nii.gz"), noise(), spacing=SPACING, axes=axes)
    found = look_at(path)
    image = nibabel.as_closest_canonical(nibabel.load(path))
    assert found.problem == found.labels == ""
    assert found.shape == tuple(reversed(image.shape))
    assert found.spacing == pytest.approx(tuple(reversed(SPACING)))
    assert (found.orientation, found.dtype, found.format) == (axes, "int16", "nii.gz")
    values = np.sort(image.get_fdata(), axis=None)
    places = np.array(PERCENTILES) / 100 * (values.size - 1)
    expected = np.interp(places, np.arange(values.size), values)
    assert found.percentiles == pytest.approx(tuple(expected))
    assert found.bytes == path.stat().st_size
    assert found.thick == "z"


def test_scaling_is_applied() -> None:
    image = nibabel.Nifti1Image(noise(), np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    image.to_filename("scaled.nii")
    stored = np.asarray(nibabel.load("scaled.nii").dataobj)
    assert look_at(Path("scaled.nii")).percentiles[-1] == stored.max()


def test_one_image_in_five_forms_is_known_by_its_voxels() -> None:
    nrrd, _ = pytest.importorskip("nrrd"), pytest.importorskip("itk")
    import itk

    voxels = noise()
    nrrd.write(
        "a.nrrd",
        voxels[::-1, ::-1],
        {"space": "LPS", "space directions": np.eye(3), "space origin": np.zeros(3)},
    )
    image = itk.image_from_array(np.ascontiguousarray(voxels[::-1, ::-1].T))
    itk.imwrite(image, "a.mha")
    paths = [
        nifti(Path("a.nii.gz"), voxels),
        nifti(Path("b.nii"), voxels.astype(np.float64), axes="PIR"),
        Path("a.nrrd"),
        Path("a.mha"),
        one_file(series(Path("dicom"), voxels)),
    ]
    found = [look_at(path) for path in paths]
    assert [one.problem for one in found] == [""] * 5
    assert len({one.digest for one in found}) == 1
    assert [one.format for one in found] == ["nii.gz", "nii", "nrrd", "mha", "dicom"]
    changed = voxels.copy()
    changed[3, 4, 5] += 1
    assert look_at(nifti(Path("c.nii"), changed)).digest != found[0].digest
    flat = voxels.reshape(16, 14, 12)  # the same bytes in another shape
    assert look_at(nifti(Path("d.nii"), flat)).digest != found[0].digest


def test_a_dicom_series_has_its_modality_and_no_name() -> None:
    found = look_at(one_file(series(Path("scan"), noise(), spacing=SPACING)))
    assert (found.modality, found.orientation, found.shape) == ("CT", "LPS", (16, 14, 12))
    assert found.spacing == pytest.approx(tuple(reversed(SPACING)))
    assert found.bytes == sum(file.stat().st_size for file in Path("scan").iterdir())
    assert "Jane" not in str(found)
    assert "1901" not in str({k: v for k, v in found.as_json().items() if k != "pictures"})


def test_padding_of_dicom_was_not_measured() -> None:
    voxels = noise()
    voxels[:3] = -2000
    folder = series(Path("scan"), voxels, PixelPaddingValue=-2000 + 1024)
    found = look_at(one_file(folder))
    assert found.not_measured == pytest.approx(3 / 12)
    assert found.percentiles[0] == voxels[3:].min()


def test_voxels_that_are_not_finite() -> None:
    voxels = noise().astype(np.float32)
    voxels[0, 0, :4] = np.nan
    found = look_at(nifti(Path("a.nii"), voxels))
    assert (found.problem, found.non_finite) == ("", pytest.approx(4 / voxels.size))
    assert found.percentiles[-1] == np.nanmax(voxels)
    voxels[:6] = np.inf
    assert "NaN or infinite" in look_at(nifti(Path("b.nii"), voxels)).problem


def test_what_cannot_be_used_says_why_and_what_is_known_besides() -> None:
    whole = nifti(Path("whole.nii"), noise())
    Path("short.nii").write_bytes(whole.read_bytes()[:-500])
    Path("text.nii").write_text("no image")
    nifti(Path("flat.nii"), np.full((8, 8, 8), 7, np.int16))
    nibabel.Nifti1Image(np.zeros((4, 4, 4, 3)), np.eye(4)).to_filename("film.nii")
    problems = {name: look_at(Path(f"{name}.nii")) for name in ("short", "text", "flat", "film")}
    assert "ends early" in problems["short"].problem
    assert problems["text"].problem
    assert problems["flat"].problem == "no contrast: every voxel is 7"
    assert problems["flat"].shape == (8, 8, 8)
    assert "4 dimensions" in problems["film"].problem
    assert "no such file" in look_at(Path("gone.nii")).problem
    assert not any(one.image or one.digest for one in problems.values())


def test_label_maps_by_name_and_by_their_few_values() -> None:
    labels = (noise() % 40).astype(np.uint8)
    few = (noise() % 3).astype(np.float32)
    assert "40 different whole" in look_at(nifti(Path("a_seg.nii"), labels)).labels
    assert look_at(nifti(Path("images/a.nii"), labels)).labels == ""
    assert "3 different whole" in look_at(nifti(Path("images/b.nii"), few)).labels
    assert look_at(nifti(Path("b_seg.nii"), noise())).labels == ""
    halves = few / 2
    assert look_at(nifti(Path("images/c.nii"), halves)).labels == ""


def test_whole_numbers_beyond_a_sample_are_counted() -> None:
    voxels = np.zeros(10**6, dtype=np.int16)
    voxels[1:5] = [1, 2, 3, 4]
    assert whole_numbers(voxels) == 5
    assert whole_numbers(voxels + np.eye(1, 10**6, 7)[0] / 2) is None
    assert whole_numbers(np.arange(129)) is None


def pictures_of(found: Facts) -> list[np.ndarray]:
    return [
        matplotlib.image.imread(io.BytesIO(base64.b64decode(picture)), format="png")
        for picture in found.pictures
    ]


def test_pictures_have_true_proportions_and_sides() -> None:
    voxels = noise((40, 20, 10))
    voxels[20:, :, 5] = 5000  # the patient's right half of the middle slice
    found = look_at(nifti(Path("a.nii"), voxels, spacing=(1.0, 2.0, 4.0)))
    axial, coronal, sagittal = pictures_of(found)
    # 40 mm along each axis.
    assert {image.shape[:2] for image in (axial, coronal, sagittal)} == {(EDGE, EDGE)}
    left, right = axial[:, : EDGE // 2, 0], axial[:, EDGE // 2 :, 0]
    assert left.mean() > 0.9 > 0.3 > right.mean()
    # The middle slice is the sixth of ten: just above the middle, and up is up.
    bright = np.flatnonzero(coronal[:, EDGE // 4, 0] > 0.9)
    assert (bright.min(), bright.max()) == pytest.approx((EDGE * 0.4, EDGE * 0.5), abs=1)


def test_no_data_is_drawn_apart() -> None:
    voxels = noise((20, 20, 20)).astype(np.float32)
    voxels[0, :, :] = np.nan
    axial = pictures_of(look_at(nifti(Path("a.nii"), voxels)))[0]
    assert np.allclose(axial[:, -2, :3], 0.85, atol=0.01)
    flat = nifti(Path("thin.nii"), noise((8, 8, 8)), spacing=(1.0, 1.0, 900.0))
    assert [p.shape[:2] for p in pictures_of(look_at(flat))][1] == (EDGE, 1)


def test_facts_go_through_json() -> None:
    found = look_at(nifti(Path("a.nii"), noise()))
    import json

    assert Facts.from_json(json.loads(json.dumps(found.as_json()))) == found
    with pytest.raises(TypeError):
        Facts.from_json({"path": "a"})
