"""Errors that the owner of the data can put right."""

from __future__ import annotations

import os
from pathlib import PurePath


class DataError(ValueError):
    """The data cannot be used as asked; the message says what to do."""

    def __init__(self, *message: str) -> None:
        super().__init__(*(shown(part) for part in message))


class DataWarning(UserWarning):
    """Something about the data that was left out or assumed.

    Attributes:
        remark: words that go after the name of a file, such as "is a link that leads nowhere";
            empty where the warning is about no file of its own.
        files: all that the remark is about, by their names; the text has one of them.
    """

    def __init__(self, text: str, *, remark: str = "", files: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.remark, self.files = remark, files


class BadVolume(DataError):
    """One file cannot be used."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        # Both arguments reach `args`, so the error survives pickling on its way from a worker.
        super().__init__(shown(path), reason)
        self.path, self.reason = self.args

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def shown(path: str | os.PathLike[str]) -> str:
    """A path as text that can be printed and written anywhere.

    Bytes that are not UTF-8, as in names unpacked from another system, become escapes such as
    `\\xfc`.
    """
    text = path.as_posix() if isinstance(path, PurePath) else os.fspath(path)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
