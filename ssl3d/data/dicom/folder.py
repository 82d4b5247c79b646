"""The headers of all DICOM files in one folder, kept between runs.

A header takes about a millisecond, and a hospital's folder holds a million files: what was read is
kept in the user's cache folder, one file for each folder of images, and is read anew where size or
time of an image differ.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssl3d.data.data_error import DataWarning, shown
from ssl3d.data.dicom.candidates import may_be_dicom, named_dicom
from ssl3d.data.dicom.header import Frame, Header, read_header
from ssl3d.files import cache_root, write_text

FORMAT = 3


@dataclass(frozen=True)
class Found:
    """A DICOM file.

    Attributes:
        path: of it.
        header: what it says; None where it cannot be read.
        problem: why it cannot be read; empty where it can.
    """

    path: Path
    header: Header | None
    problem: str = ""


def read_folder(folder: Path, names: Iterable[str] | None = None) -> list[Found]:
    """The DICOM files of a folder, by name; files that are not DICOM are passed over.

    Args:
        folder: itself; folders in it are not searched.
        names: files to look at; none: all that may be DICOM.

    Raises:
        OSError: the folder cannot be read.
    """
    every = names is None
    if names is None:
        names = [e.name for e in os.scandir(folder) if e.is_file() and may_be_dicom(Path(e.name))]
    kept_at = _kept_at(folder)
    kept = _kept(kept_at)
    now: dict[str, dict[str, Any]] = {}
    for name in sorted(names):
        try:
            stat = (folder / name).stat()
        except OSError as error:
            now[name] = {"stat": None, "problem": str(error.strerror), "header": None}
            continue
        stamp = [stat.st_size, stat.st_mtime_ns]
        before = kept.get(name)
        now[name] = before if before and before["stat"] == stamp else _look(folder / name, stamp)
    if any(kept.get(name) is not one for name, one in now.items()):
        _keep(kept_at, now if every else {**kept, **now})
    return [
        Found(folder / name, _header(one["header"]), one["problem"])
        for name, one in now.items()
        if one["header"] is not None or one["problem"]
    ]


def _look(path: Path, stamp: list[int]) -> dict[str, Any]:
    try:
        header = read_header(path)
    except Exception as error:  # pydicom raises whatever a damaged file brings about
        return {"stat": stamp, "problem": f"{error}".splitlines()[0][:200], "header": None}
    problem = ""
    if header is None and named_dicom(path):
        problem = "it has no DICOM preamble"
    return {"stat": stamp, "problem": problem, "header": None if header is None else asdict(header)}


def _header(content: dict[str, Any] | None) -> Header | None:
    if content is None:
        return None
    frames = [{k: _tuples(v) for k, v in frame.items()} for frame in content["frames"]]
    rest = {key: _tuples(value) for key, value in content.items() if key != "frames"}
    return Header(**rest, frames=tuple(Frame(**frame) for frame in frames))


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _kept_at(folder: Path) -> Path:
    name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:32]
    return cache_root() / "dicom" / f"{name}.json"


def _kept(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # never written, or damaged: read anew
        return {}
    found = content.get("files") if isinstance(content, dict) else None
    return found if isinstance(found, dict) and content.get("format") == FORMAT else {}


def _keep(path: Path, files: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"format": FORMAT, "files": files}))
    except OSError as error:
        warnings.warn(
            f"data: headers of DICOM files cannot be kept in {shown(path.parent)} "
            f"({error.strerror}): they are read anew each time, which is slow",
            DataWarning,
            stacklevel=2,
        )
