"""Facts kept on the disk while an inspection goes on: what ends early goes on from there."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any, TextIO

from ssl3d.data.data_error import BadVolume, DataWarning
from ssl3d.data.listing import listed
from ssl3d.data.source import Source
from ssl3d.files import A_DAY, cache_root
from ssl3d.tasks.inspect.facts import Facts

FORMAT = 1
OLD = 30 * A_DAY


class KeptFacts:
    """One JSON line for each file that was looked at, in the user's cache folder.

    Facts of a file that has changed since are not found.

    Args:
        what: is inspected: the same text finds the same facts again.
    """

    def __init__(self, what: str) -> None:
        folder = cache_root() / "inspect"
        self.path = folder / f"{hashlib.sha256(os.fsencode(what)).hexdigest()[:32]}.jsonl"
        self._found: dict[str, Facts] = {}
        self._file: TextIO | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.glob("*.jsonl"):
                if time.time() - path.stat().st_mtime > OLD:
                    path.unlink(missing_ok=True)
            self._file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            warnings.warn(
                f"data: {folder} cannot be written to ({error.strerror}): an inspection that is "
                "interrupted begins anew",
                DataWarning,
                stacklevel=2,
            )
            return
        self._file.seek(0)
        line = "\n"
        for line in self._file:
            self._read(line)
        if not line.endswith("\n"):
            self._file.write("\n")  # of a line that was cut off

    def _read(self, line: str) -> None:
        try:
            content = json.loads(line)
            self._found[content["stamp"]] = Facts.from_json(content["facts"])
        except (ValueError, KeyError, TypeError):
            return  # of another version, or cut off: looked at again

    def find(self, path: Path) -> Facts | None:
        """Facts of a file as it is now; None where they are not there."""
        return self._found.get(_stamp(path)) if self._found else None

    def add(self, path: Path, facts: Facts) -> None:
        """Keep the facts of a file."""
        if self._file is not None:
            line: dict[str, Any] = {"stamp": _stamp(path), "facts": facts.as_json()}
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def remove(self) -> None:
        """What was looked for is done."""
        if self._file is not None:
            self._file.close()
            self.path.unlink(missing_ok=True)


def _stamp(path: Path) -> str:
    """What changes with a file, and with the meaning of its facts."""
    try:
        (sample,) = listed([Source((path,))], groups=[None])
    except BadVolume as error:
        return f"{FORMAT} {path} {error.reason}"
    file = sample.files[0]
    return f"{FORMAT} {file.path} {file.size} {file.modified}"
