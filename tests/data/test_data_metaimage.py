"""MetaImage as its definition allows it: written by hand here, ITK reads some of it wrongly."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest

from ssl3d.data.data_error import BadVolume
from ssl3d.data.read import check_header, read_source
from ssl3d.data.source import Source

pytest.importorskip("itk")

ARRAY = np.random.default_rng(0).integers(-120, 120, size=(5, 6, 7)).astype("<i2")
RAW = ARRAY.tobytes(order="F")
PACKED = zlib.compress(RAW)


def write(path: Path, voxels: bytes, **fields: object) -> Path:
    """The axes lie to the right and front, as RAS."""
    head = {
        "NDims": 3,
        "Offset": "0 0 0",
        "TransformMatrix": "-1 0 0 0 -1 0 0 0 1",
        "DimSize": "5 6 7",
    }
    head |= {"ElementSpacing": "0.5 1 2", "ElementType": "MET_SHORT"}
    head |= {key: value for key, value in fields.items() if key != "ElementDataFile"}
    head["ElementDataFile"] = fields.get("ElementDataFile", "LOCAL")
    lines = "".join(f"{key} = {value}\n" for key, value in head.items())
    path.write_bytes(lines.encode() + voxels)
    return path


def read(path: Path) -> np.ndarray:
    return read_source(Source((path,)))[0][0].numpy().transpose(2, 1, 0)


@pytest.mark.parametrize("said", ["True", "true", "T", "1"])
@pytest.mark.parametrize("size", [None, len(PACKED), 20])
def test_compressed_data_are_what_they_unpack_to(tmp_path: Path, said: str, size: int) -> None:
    fields = {"CompressedData": said} | ({} if size is None else {"CompressedDataSize": size})
    assert np.array_equal(read(write(tmp_path / "a.mha", PACKED, **fields)), ARRAY)
    assert np.array_equal(read(write(tmp_path / "a.mha", gzip.compress(RAW), **fields)), ARRAY)


def test_voxels_in_another_file_are_verified_alike(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mha", b"", CompressedData="True", ElementDataFile="a.zraw")
    beside = tmp_path / "a.zraw"
    beside.write_bytes(PACKED)
    assert np.array_equal(read(path), ARRAY)
    for damaged in (PACKED[:-20], PACKED[:-1] + b"\0", zlib.compress(RAW[:-2])):
        beside.write_bytes(damaged)
        with pytest.raises(BadVolume, match="copy it again"):
            read(path)
    beside.write_bytes(zlib.compress(RAW + RAW))
    with pytest.raises(BadVolume, match="more voxels than its header says"):
        read(path)
    beside.unlink()
    with pytest.raises(BadVolume, match="No such file"):
        read(path)


@pytest.mark.parametrize("name", ["LIST", "slice%02d.raw 0 6 1"])
def test_a_file_for_each_slice_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.mha", b"0.raw\n" * 7, ElementDataFile=name)
    with pytest.raises(BadVolume, match="a file for each slice: write it as one file"):
        check_header(path)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *[("CHAR", "i1"), ("SHORT", "i2"), ("INT", "i4"), ("LONG", "i4"), ("LONG_LONG", "i8")],
        *[("FLOAT", "f4"), ("DOUBLE", "f8")],
    ],
)
@pytest.mark.parametrize("most", ["True", "False"])
def test_every_type_and_byte_order(tmp_path: Path, kind: str, dtype: str, most: str) -> None:
    voxels = ARRAY.astype(np.dtype(dtype).newbyteorder(">" if most == "True" else "<"))
    fields = {"ElementType": f"MET_{kind}", "BinaryDataByteOrderMSB": most}
    path = write(tmp_path / "A.MHA", voxels.tobytes(order="F"), **fields)
    assert np.array_equal(read(path), ARRAY)


def test_text_offsets_and_separators(tmp_path: Path) -> None:
    text = " ".join(map(str, ARRAY.ravel(order="F")))
    path = write(tmp_path / "a.mha", text.encode(), BinaryData="False")
    assert np.array_equal(read(path), ARRAY)
    path = write(tmp_path / "a.mha", text[:-200].encode(), BinaryData="False")
    with pytest.raises(BadVolume, match="it ends early"):
        read(path)
    (tmp_path / "a.raw").write_bytes(b"12345" + RAW)
    for size in (-1, 5):
        path = write(tmp_path / "a.mha", b"", HeaderSize=size, ElementDataFile="a.raw")
        assert np.array_equal(read(path), ARRAY)
    path = write(tmp_path / "a.mha", b"")
    path.write_bytes(path.read_bytes().replace(b" = ", b": ") + RAW[:-9])
    with pytest.raises(BadVolume, match="it ends early, 411 of 420 bytes"):
        read(path)


def test_units_and_scaling_that_itk_passes_over(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mha", RAW, DistanceUnits="um")
    assert check_header(path) == ("counts in um: one is taken as 0.001 mm",)
    _, affine = read_source(Source((path,)))
    assert np.allclose(np.diag(affine.numpy()), [0.0005, 0.001, 0.002, 1])
    scaled = {"ElementToIntensityFunctionSlope": 2, "ElementToIntensityFunctionOffset": -1024}
    path = write(tmp_path / "a.mha", RAW, **scaled)
    assert np.array_equal(read(path), 2.0 * ARRAY - 1024)


def test_what_is_missing_is_assumed_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mha", RAW)
    assert check_header(path) == ()
    lines = path.read_bytes()[: -len(RAW)].splitlines(keepends=True)
    for field, said in (
        ("Transform", "left, posterior"),
        ("ElementSp", "1 mm"),
        ("Off", "0, 0, 0"),
    ):
        kept = [line for line in lines if not line.startswith(field.encode())]
        path.write_bytes(b"".join(kept) + RAW)
        (note,) = check_header(path)
        assert note.startswith(f"gives no {field}")
        assert said in note
