"""Checkpoints as files: written whole or not at all, verified when read, holding no code.

A checkpoint is what `torch.save` writes, a zip archive, with the SHA-256 of all bytes before it
as the last bytes of the archive's comment. So `torch.load`, `unzip` and every other reader of such
files open it as it is.
"""

from __future__ import annotations

import os
import pickle
import re
import shlex
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ssl3d.files import sha256_of_start, written_whole
from ssl3d.run.run_error import RunError

END = b"PK\x05\x06"
"""What the last record of a zip archive begins with."""
END_LENGTH = 22
"""Its bytes without the comment, whose length, two bytes, is the last of them."""
MARK = b"ssl3d sha256 "
CHECKSUM = 64
"""Hexadecimal digits: raw bytes could look like the end of an archive."""

PLAIN = (
    *(bool, int, float, complex, str, bytes, type(None)),
    *(torch.Size, torch.dtype, torch.device, torch.Tensor, torch.nn.Parameter),
)
"""What `torch.load` reads back without running code."""


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values; the file gets its name when it is whole and on the disk.

    Raises:
        RunError: it cannot be written. What was under `path` before is still there.
        TypeError: `content` holds something that could not be read back.
    """
    _check_plain(content, place="checkpoint")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as unfinished, unfinished.open("r+b") as file:
            torch.save(content, file)
            _add_checksum(file)
    except (OSError, RuntimeError) as error:
        reason = next(_reasons(error), str(error).partition("\n")[0])
        raise RunError(
            f"{path} cannot be written: {reason}. The checkpoints before it are kept: free some "
            "space, or mend what is in the way, and go on from them (--resume, resume=True)"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint on the CPU: tensors and plain values only.

    One without a checksum, of an older version, is verified by what its archive has, and warned of.

    Raises:
        RunError: it is damaged, no checkpoint, or holds code; names the one before it.
    """
    try:
        damage = find_damage(path)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}{_before(path)}") from error
    if damage is not None:
        raise RunError(f"{path} is damaged: {damage}{_before(path)}")
    if not has_checksum(path):
        warnings.warn(
            f"{path} was written by an older version of ssl3d: it has no checksum", stacklevel=2
        )
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Not torch's own words, nor as the cause: they advise to run what the file holds.
        code = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it holds code ({code[1]})" if code else "torch.save has not written it"
        raise RunError(f"{path} is no checkpoint of a run: {what}{_before(path)}") from None
    except Exception as error:  # a strange file may raise anything
        what = str(error).partition("\n")[0]
        raise RunError(f"{path} is no checkpoint of a run: {what}{_before(path)}") from error
    return content


def find_damage(path: Path) -> str | None:
    """What is wrong with the bytes of a checkpoint; None where it is what was written.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        if _ends_with_mark(file, length):
            digest = sha256_of_start(file, length - CHECKSUM).hex().encode()
            return None if file.read() == digest else "its checksum is another"
        if not _is_bare(file, length):
            return "its end is not that of a checkpoint"
        try:
            with zipfile.ZipFile(file) as archive:
                spoilt = archive.testzip()
        except Exception as error:  # whatever a damaged archive raises
            return str(error)
        return f"its part {spoilt} is another" if spoilt else None


def has_checksum(path: Path) -> bool:
    """True for files of `write_checkpoint`, False for those of older versions."""
    with path.open("rb") as file:
        return _ends_with_mark(file, file.seek(0, os.SEEK_END))


def _ends_with_mark(file: BinaryIO, length: int) -> bool:
    file.seek(max(0, length - CHECKSUM - len(MARK)))
    return file.read(len(MARK)) == MARK


def _is_bare(file: BinaryIO, length: int) -> bool:
    """True where the file ends with an archive's last record that announces no comment."""
    file.seek(max(0, length - END_LENGTH))
    last = file.read()
    return last.startswith(END) and last.endswith(b"\0\0")


def _add_checksum(file: BinaryIO) -> None:
    length = file.seek(0, os.SEEK_END)
    assert _is_bare(file, length), "torch.save ends an archive without a comment"
    file.seek(length - 2)
    file.write(struct.pack("<H", len(MARK) + CHECKSUM) + MARK)
    file.write(sha256_of_start(file, length + len(MARK)).hex().encode())


def _before(path: Path) -> str:
    """What to do without this checkpoint."""
    for other in sorted(path.parent.glob("step-*.ckpt"), reverse=True):
        if other.name < path.name and find_damage(other) is None:
            return (
                f". The one before it, {other.name}, is whole: to go on from there, remove this "
                f"one (rm {shlex.quote(str(path))}) and resume again (--resume, resume=True)"
            )
    return ". There is no whole one before it to go on from"


def _reasons(error: BaseException | None) -> Iterator[str]:
    """What the system said; torch tells of its own consequences instead."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            yield error.strerror
        error = error.__context__


def _check_plain(value: Any, *, place: str) -> None:
    """Raise TypeError where something inside could not be read back without running code."""
    if type(value) in (dict, OrderedDict):
        for key, part in value.items():
            _check_plain(key, place=place)
            _check_plain(part, place=f"{place}[{key!r}]")
    elif type(value) in (list, tuple, set):
        for i, part in enumerate(value):
            _check_plain(part, place=f"{place}[{i}]")
    elif type(value) not in PLAIN:
        raise TypeError(f"{place} is a {type(value).__name__}, which a checkpoint cannot hold")
