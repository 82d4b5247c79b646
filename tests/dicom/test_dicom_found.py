"""Which files make which series, what is left out, and that it is said."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from phantom import BIRTH, NAME, files, stored, write_series
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

import ssl3d.data.dicom.folder as folders
from ssl3d.data.data_error import BadVolume, DataError, DataWarning
from ssl3d.data.files import find_sources
from ssl3d.data.listing import listed
from ssl3d.data.manifest_table import Table
from ssl3d.data.modality import with_modalities
from ssl3d.data.read import check_source, read_source
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import group_of
from ssl3d.data.volumes import RunVolumes

Series = Callable[..., Path]
A, B = "1.2.3.1", "1.2.3.2"


def found(folder: Path | str, **options: object) -> list[str]:
    sources = find_sources(DataSpec(volumes=str(folder), **options))  # type: ignore[arg-type]
    return [source.name for source in sources]


def tag(**values: object) -> Callable[[int, Dataset], None]:
    def change(number: int, file: Dataset) -> None:  # noqa: ARG001
        for name, value in values.items():
            setattr(file, name, value)

    return change


def test_several_series_in_a_folder_and_one_over_several(tmp_path: Path, series: Series) -> None:
    voxels = stored(6)
    series("all/x", uid=A, called="a{:04d}")
    series("all/x", uid=B, called="b{:04d}.IMA", voxels=voxels[:4])
    series("all/y/z", uid=B, called="c{:04d}", voxels=voxels[4:], heights=[8, 10])
    (tmp_path / "all" / "notes.txt").write_text("no image")
    names = found(tmp_path / "all")
    assert names == [f"{tmp_path}/all/{B}.dcm", f"{tmp_path}/all/x/{A}.dcm"]
    volume, _ = read_source(Source((Path(names[0]),)))
    whole, _ = read_source(Source((Path(found(series("whole", voxels=voxels))[0]),)))
    assert np.array_equal(volume, whole)


def test_copies_count_once(series: Series) -> None:
    folder = series(uid=A)
    for path in list(folder.iterdir()):
        (folder / f"copy_{path.name}").write_bytes(path.read_bytes())
    (name,) = found(folder)
    ((_, note),) = check_source(Source((Path(name),)))
    assert note.startswith("holds copies of its slices, such as ")
    assert read_source(Source((Path(name),)))[0].shape == (1, 6, 5, 4)


def test_a_series_counts_once_whatever_names_it(series: Series, tmp_path: Path) -> None:
    """Else it is two samples, which may stand on both sides of the split."""
    folder = series("set/x/deep", uid=A).parents[1]
    shutil.copytree(folder / "x", folder / "copy")
    for path in sorted((folder / "copy/deep").iterdir())[:3]:
        path.unlink()
    series("set/other", uid=A, patient="P2")  # no slice of the others: an UID that is used twice
    names = [f"{folder}/{name}" for name in ("x", f"x/{A}.dcm", f"x/deep/../deep/{A}.dcm", "copy")]
    first = f"{folder}/x/deep/{A}.dcm"
    with pytest.warns(DataWarning, match=f"deep/{A}.dcm shares slices with {first} and counts on"):
        sources = find_sources(DataSpec(volumes=(*names, f"{folder}/other")))
    assert [source.name for source in sources] == [f"{folder}/other/{A}.dcm", first]
    table = tmp_path / "m.csv"
    for name in names[1:]:
        table.write_text(f"image\n{names[0]}\n{name}\n")
        with pytest.raises(DataError, match=r"in line 2.* and in line 3: name it once"):
            find_sources(DataSpec(manifest=table))
        with pytest.raises(DataError, match=r"in line 2 and line 3: name it once"):
            Table(table, needed=(), option="data.manifest").sources(["image"])
    table.write_text(f"image\n{names[0]}\n{folder}/other\n")
    assert len(find_sources(DataSpec(manifest=table))) == 2


SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
LEFT_OUT = [
    (tag(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "it is a localiser"),
    (tag(SOPClassUID=SECONDARY), "it is a secondary capture"),
    (tag(SOPClassUID=SECONDARY + ".2"), "it is a secondary capture"),
    (
        tag(ImageType=["DERIVED", "SECONDARY", "MIP"]),
        "it is derived from another series (MIP)",
    ),
    (
        tag(SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4"),
        "it holds no volume of a scanner but Segmentation Storage",
    ),
    (
        tag(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"),
        "it holds no volume of a scanner but Basic Text SR Storage",
    ),
]


@pytest.mark.parametrize(("change", "reason"), LEFT_OUT)
def test_what_is_no_volume_is_left_out_and_said(
    series: Series, tmp_path: Path, change: object, reason: str
) -> None:
    series("all/good", uid=A)
    series("all/other", uid=B, change=change)
    with pytest.warns(DataWarning, match="is left out") as warned:
        assert found(tmp_path / "all") == [f"{tmp_path}/all/good/{A}.dcm"]
    assert [str(one.message) for one in warned] == [
        f"data: {tmp_path}/all/other/{B}.dcm is left out: {reason}"
    ]


def test_a_single_slice_is_left_out_and_said(series: Series, tmp_path: Path) -> None:
    series("all/good", uid=A)
    series("all/other", uid=B, voxels=stored(1))
    with pytest.warns(DataWarning, match="is left out: it is a single slice"):
        assert len(found(tmp_path / "all")) == 1


def test_files_that_are_damaged_are_named(series: Series) -> None:
    folder = series(uid=A)
    (folder / "bad.dcm").write_bytes(b"no DICOM at all")
    with pytest.warns(DataWarning, match=r"bad.dcm cannot be read as DICOM: it has no DICOM pream"):
        assert len(found(folder)) == 1
    victim = sorted(folder.glob("IM*"))[2]
    victim.write_bytes(victim.read_bytes()[:-30])
    with pytest.raises(BadVolume, match=f"{victim.name} cannot be read"):
        read_source(Source((folder / f"{A}.dcm",)))


def half_turned(number: int, file: Dataset) -> None:
    if number < 3:
        file.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def a_little_turned(number: int, file: Dataset) -> None:
    """By less than what a rounded direction shows."""
    turn = 5e-4 * number
    file.ImageOrientationPatient = [1, turn, 0, -turn, 1, 0]


def half_larger(number: int, file: Dataset) -> None:
    if number < 3:
        file.PixelSpacing = [2, 2]


def without_position(number: int, file: Dataset) -> None:  # noqa: ARG001
    del file.ImagePositionPatient


def one_without_spacing(number: int, file: Dataset) -> None:
    if number == 2:
        del file.PixelSpacing


def zigzag(number: int, file: Dataset) -> None:
    file.ImagePositionPatient = [number % 2 * 3, 0, number * 2.0]


NO_VOLUME = [
    (half_turned, "its slices lie in several directions"),
    (a_little_turned, "its slices lie in several directions"),
    (half_larger, "its slices have pixels of several sizes"),
    (without_position, "6 of its 6 slices have no position"),
    (one_without_spacing, "1 of its 6 slices have no spacing"),
    (zigzag, "its slices do not lie on one line"),
]


@pytest.mark.parametrize(("change", "problem"), NO_VOLUME)
def test_slices_that_make_no_volume(series: Series, change: object, problem: str) -> None:
    (name,) = found(series(change=change))
    with pytest.raises(BadVolume, match=problem):
        check_source(Source((Path(name),)))


def test_slices_of_two_patients_are_no_volume(series: Series, tmp_path: Path) -> None:
    """However an UID came to both: places alone would make one scan of them."""
    series("set/a", uid=A, patient="P1")
    series("set/b", uid=A, patient="P2", heights=12 + np.arange(6) * 2.0)
    series("set/good", uid=B)
    data = RunVolumes(DataSpec(volumes=str(tmp_path / "set"), holdout=0))
    data.find()
    ((name, problem),) = data.bad_files().items()
    assert (name, len(data.train_files)) == (f"{tmp_path}/set/{A}.dcm", 1)
    assert "its slices are of 2 patients" in problem
    series("set/a", uid=A, patient="", called="more{:04d}", heights=-2 - np.arange(6) * 2.0)
    assert check_source(Source((tmp_path / "set/a" / f"{A}.dcm",))) == []


def test_volumes_at_one_place_are_named_by_what_differs(series: Series, tmp_path: Path) -> None:
    series(uid=A, called="a{:04d}", change=tag(EchoTime=4.6))
    series(uid=A, called="b{:04d}", change=tag(EchoTime=9.2))
    with pytest.raises(BadVolume, match=r"6 of its 12 slices lie .* which differ in EchoTime"):
        check_source(Source((tmp_path / "scan" / f"{A}.dcm",)))


def test_colours_are_named(series: Series) -> None:
    def change(number: int, file: Dataset) -> None:  # noqa: ARG001
        file.SamplesPerPixel, file.PhotometricInterpretation = 3, "RGB"
        file.PlanarConfiguration, file.PixelRepresentation = 0, 0
        file.BitsAllocated = file.BitsStored = 8
        file.HighBit = 7
        file.PixelData = bytes(file.Rows * file.Columns * 3)

    (name,) = found(series(change=change))
    with pytest.raises(BadVolume, match="its pixels are colours"):
        check_source(Source((Path(name),)))


def test_a_series_is_known_by_its_folder_one_of_its_slices_or_its_uid(series: Series) -> None:
    folder = series(uid=A, called="slice{:04d}")
    name = f"{folder}/{A}.dcm"
    assert found(folder) == found(sorted(folder.iterdir())[3]) == found(name) == [name]
    assert found(f"{folder}/*") == [name]
    with pytest.raises(DataError, match="no DICOM series of this name"):
        found(f"{folder}/{B}.dcm")


def test_a_glob_that_matches_some_slices_says_that_all_are_read(series: Series, recwarn) -> None:
    folder = series(uid=A, called="slice{:04d}")
    shutil.copy(folder / "slice0007", folder / "copy")
    for glob in ("*", "slice*"):
        assert len(found(f"{folder}/{glob}")) == 1
    assert not list(recwarn)
    with pytest.warns(DataWarning, match=f"{A}.dcm has slices that the glob does not match: it"):
        assert len(found(f"{folder}/slice000?")) == 1


def test_channels_by_folder(series: Series, tmp_path: Path) -> None:
    first, second = series("p/t1", uid=A), series("p/t2", uid=B, voxels=stored(seed=1))
    spec = DataSpec(channels={"t1": (str(first),), "t2": (str(second),)})
    (source,) = find_sources(spec)
    assert read_source(source)[0].shape == (2, 6, 5, 4)
    with pytest.raises(DataError, match="holds 2 DICOM series"):
        find_sources(DataSpec(channels={"t1": (str(tmp_path / "p"),), "t2": (str(second),)}))


def test_patients_stay_on_one_side(tmp_path: Path) -> None:
    for number in range(6):
        folder = tmp_path / "all" / f"s{number}"
        write_series(folder, uid=f"1.2.{number}", patient=f"P{number // 2}")
    spec = DataSpec(volumes=str(tmp_path / "all"), holdout=0.3)
    sources = find_sources(spec)
    assert group_of(sources, spec=spec) == ["P0", "P0", "P1", "P1", "P2", "P2"]
    data = RunVolumes(spec)
    data.find()
    assert len(data.held_out_files) == 2
    assert len({source.files[0].parent.name for source in data.held_out_files}) == 2
    (group,) = {one.group for one in data.listing.held_out}
    assert group in ("P0", "P1", "P2")


def test_no_name_and_no_birth_date_is_written(series: Series, tmp_path: Path, recwarn) -> None:
    folder = series(uid=A)
    assert str(files(folder)[0].PatientName) == NAME
    source = find_sources(DataSpec(volumes=str(folder)))[0]
    check_source(source)
    kept = [path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    texts = [*kept, json.dumps([str(one.message) for one in recwarn]).encode()]
    for text in texts:
        assert b"Marker" not in text
        assert BIRTH.encode() not in text


def test_headers_are_read_once_and_anew_where_a_file_changed(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, read = series(uid=A), []
    real = folders.read_header
    monkeypatch.setattr(folders, "read_header", lambda path: read.append(path) or real(path))
    source = find_sources(DataSpec(volumes=str(folder)))[0]
    assert len(read) == 6
    check_source(source)
    read_source(source)
    listed([source], groups=[None])
    assert len(read) == 6
    victim = sorted(folder.iterdir())[1]
    file = pydicom.dcmread(victim)
    file.RescaleIntercept = -1000
    file.save_as(victim)
    os.utime(victim, ns=(1, 1))
    assert (read_source(source)[0][0] + 1024 >= 0).all()
    assert read[6:] == [victim]


def test_a_cache_that_cannot_be_written_or_is_damaged(series: Series, tmp_path: Path) -> None:
    folder = series(uid=A)
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.warns(DataWarning, match="headers of DICOM files cannot be kept"):
        assert len(found(folder)) == 1
    (tmp_path / "cache").unlink()
    assert len(found(folder)) == 1
    (kept,) = (tmp_path / "cache" / "ssl3d" / "dicom").iterdir()
    for text in ("{", "[]", '{"format": 0}'):
        kept.write_text(text)
        assert len(found(folder)) == 1


def test_the_listing_counts_the_files_of_a_series(series: Series) -> None:
    folder = series(uid=A)
    (one,) = listed(find_sources(DataSpec(volumes=str(folder))), groups=[None])
    assert one.files[0].size == sum(path.stat().st_size for path in folder.iterdir())


def test_exclude_sees_folder_and_uid(series: Series, tmp_path: Path) -> None:
    series("all/a", uid=A)
    series("all/b", uid=generate_uid())
    with pytest.warns(DataWarning, match="leaves out 1 of 2"):
        assert found(tmp_path / "all", exclude=("b/*",)) == [f"{tmp_path}/all/a/{A}.dcm"]


def test_a_series_knows_its_modality(series: Series) -> None:
    folder = series("a").parent
    series("b", change=tag(Modality="MR"))
    spec = DataSpec(volumes=str(folder))
    kinds = with_modalities(find_sources(spec), spec=spec)
    assert sorted(str(source.modality) for source in kinds) == ["CT", "MR"]
