"""Each kind of file that cannot be used, with its own message."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_batches import first

from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.preparation import prepare
from ssl3d.data.read import check_header, read_source
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.volumes import RunVolumes
from ssl3d.kinds.batch import Batch


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    image = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.to_filename(path)
    return path


def truncated(path: Path) -> Path:
    save(path, np.random.default_rng(0).normal(size=(20, 20, 20)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def colours(path: Path) -> Path:
    rgb = np.zeros((5, 5, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    return save(path, rgb)


def garbage(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"this is not a volume" * 50)
    return path


def no_geometry(path: Path) -> Path:
    image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(5, 6, 7)), np.eye(4))
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    image.header["srow_z"] = 0
    path.write_bytes(image.to_bytes())
    with path.open("r+b") as file:
        file.seek(312)
        file.write(np.zeros(4, "<f4").tobytes())
    return path


def holed(path: Path) -> Path:
    array = np.random.default_rng(0).normal(size=(10, 10, 10)).astype(np.float32)
    array[:2] = np.nan
    return save(path, array)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


HEADER = {
    "2d.nii": (lambda p: save(p, random(9, 9)), r"shape \(9, 9\) is a 2D image, a 3D volume"),
    "slice.nii": (lambda p: save(p, random(9, 9, 1)), r"shape \(9, 9, 1\) is a 2D image"),
    "4d.nii": (
        lambda p: save(p, random(9, 9, 9, 3)),
        r"shape \(9, 9, 9, 3\) has 4 dimensions, 3 are needed: split it.*data\.channels",
    ),
    "garbage.nii": (garbage, r"garbage\.nii: cannot be read: "),
    "garbage.nii.gz": (garbage, r"garbage\.nii\.gz: cannot be read: "),
    "colours.nii": (colours, "its voxels are colours or complex numbers"),
    "complex.nii": (
        lambda p: save(p, random(5, 5, 5).astype(np.complex64)),
        "its voxels are colours or complex",
    ),
    "flat.nii": (no_geometry, "no usable voxel size and orientation"),
}
CONTENT = {
    "cut.nii.gz": (truncated, r"cut\.nii\.gz: cannot be read: "),
    "cut.nii": (truncated, r"cut\.nii: cannot be read: "),
    "nan.nii": (
        lambda p: save(p, np.full((9, 9, 9), np.nan, np.float32)),
        r"100\.0% of its voxels are NaN or infinite, data\.max_non_finite allows 5\.0%",
    ),
    "holed.nii": (holed, r"20\.0% of its voxels are NaN or infinite"),
    "constant.nii": (lambda p: save(p, np.full((9, 9, 9), 7.0)), "no contrast: every voxel is 7"),
}


def spec_for(folder: Path, **options) -> DataSpec:
    return DataSpec(volumes=str(folder), patch=(8, 8, 8), workers=0, holdout=0.0, **options)


@pytest.mark.parametrize("name", HEADER)
def test_bad_headers_are_found_without_reading_voxels(tmp_path: Path, name: str) -> None:
    make, message = HEADER[name]
    with pytest.raises(BadVolume, match=message):
        check_header(make(tmp_path / name))


@pytest.mark.parametrize("name", HEADER | CONTENT)
def test_bad_files_are_named_with_the_reason(tmp_path: Path, name: str) -> None:
    make, message = (HEADER | CONTENT)[name]
    source = Source((make(tmp_path / name),))
    with pytest.raises(BadVolume, match=message) as caught:
        prepare(source, spec=spec_for(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}/{name}: ")
    assert "\n" not in str(caught.value)


def test_a_voxel_size_that_would_fill_the_memory(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", random(50, 50, 50), np.diag([500.0, 500, 500, 1]))
    check_header(path)
    with pytest.raises(BadVolume, match=r"resampled from \(500\.0, .*check its voxel size"):
        check_header(path, spacing=(1.0, 1.0, 1.0))


def test_a_larger_share_of_nan_is_accepted_when_asked(tmp_path: Path) -> None:
    source = Source((holed(tmp_path / "holed.nii"),))
    values = prepare(source, spec=spec_for(tmp_path, max_non_finite=0.3)).values
    assert np.isnan(values).mean() == pytest.approx(0.2)


def volumes_over(tmp_path: Path, good: int, bad: list[str], **options) -> RunVolumes:
    for i in range(good):
        save(tmp_path / f"set/good{i}.nii", random(9, 9, 9) + i)
    for name in bad:
        (HEADER | CONTENT)[name][0](tmp_path / "set" / name)
    return RunVolumes(spec_for(tmp_path / "set", **options))


def batches(volumes: RunVolumes, count: int = 20) -> list[Batch]:
    volumes.find()
    return first(volumes, count)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_run_goes_on_and_reports(tmp_path: Path, workers: int) -> None:
    volumes = volumes_over(tmp_path, 5, ["2d.nii", "cut.nii.gz", "nan.nii"])
    volumes.spec = volumes.spec.model_copy(update={"workers": workers})
    sources = {name for batch in batches(volumes) for name in batch.sources}
    assert {Path(name).name for name in sources} == {f"good{i}.nii" for i in range(5)}
    bad = {Path(name).name: problem for name, problem in volumes.bad_files().items()}
    assert list(bad) == ["2d.nii", "cut.nii.gz", "nan.nii"]
    assert "2D image" in bad["2d.nii"]
    assert "cannot be read" in bad["cut.nii.gz"]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("name", ["4d.nii", "cut.nii.gz"])
def test_the_run_stops_when_asked(tmp_path: Path, workers: int, name: str) -> None:
    volumes = volumes_over(tmp_path, 3, [name], on_bad_file="stop")
    volumes.spec = volumes.spec.model_copy(update={"workers": workers})
    with pytest.raises(BadVolume) as caught:
        batches(volumes)
    # One readable line, also when it comes out of a worker process.
    assert str(caught.value).startswith(f"{tmp_path}/set/{name}: ")
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "names", [["2d.nii", "4d.nii", "flat.nii"], ["cut.nii", "nan.nii", "cut.nii.gz"]]
)
def test_the_run_stops_when_too_many_are_bad(tmp_path: Path, workers: int, names) -> None:
    (tmp_path / "set").mkdir()
    volumes = volumes_over(tmp_path, 3, names, max_bad_share=0.4)
    volumes.spec = volumes.spec.model_copy(update={"workers": workers})
    with pytest.raises(DataError) as caught:
        batches(volumes)
    message = str(caught.value)
    assert message.startswith("data: 3 of 6 samples cannot be used, data.max_bad_share allows 40%:")
    assert all(f"/set/{name}: " in message for name in names)


def test_no_usable_header_at_all(tmp_path: Path) -> None:
    volumes = volumes_over(tmp_path, 0, ["2d.nii"], max_bad_share=1.0)
    with pytest.raises(DataError, match=r"none of 1 samples can be used:\n.*2D image"):
        volumes.find()


def test_truncated_gzip_that_ends_in_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b"short"))
    with pytest.raises(BadVolume, match="cannot be read"):
        check_header(path)
    path.write_bytes(b"")
    with pytest.raises(BadVolume, match="cannot be read"):
        check_header(path)


@pytest.mark.parametrize(("ending", "package"), [("nrrd", "pynrrd"), ("mha", "itk")])
def test_a_format_without_its_reader(
    tmp_path: Path, monkeypatch, ending: str, package: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    (tmp_path / f"a.{ending}").touch()
    with pytest.raises(BadVolume, match=rf"cannot be read: install {package} for \.{ending}"):
        check_header(tmp_path / f"a.{ending}")


@settings(max_examples=150, deadline=None)
@given(
    changes=st.dictionaries(st.integers(0, 351), st.integers(0, 255), min_size=1, max_size=4),
    packed=st.booleans(),
)
def test_any_header_gives_a_volume_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[int, int], packed: bool
) -> None:
    """The check and the reading judge alike: they go by the same geometry."""
    data = bytearray(nibabel.Nifti1Image(random(4, 5, 6), np.eye(4)).to_bytes())
    for place, byte in changes.items():
        data[place] = byte
    path = tmp_path_factory.mktemp("h") / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(bytes(data)) if packed else bytes(data))
    problems = []
    for look in (check_header, lambda path: read_source(Source((path,)))):
        try:
            look(path)
            problems.append("")
        except BadVolume as error:
            problems.append(error.reason)
    assert problems[0] in ("", problems[1])
