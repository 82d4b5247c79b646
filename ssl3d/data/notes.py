"""What a run must know about its files beside those that it leaves out."""

from __future__ import annotations

import os
import warnings

from ssl3d.data.data_error import DataWarning, shown


class Notes:
    """Remarks on files, gathered: each is said once, however many files it is about."""

    def __init__(self) -> None:
        self._files: dict[str, list[str]] = {}

    def add(self, path: str | os.PathLike[str], remark: str) -> None:
        """Keep a remark, such as "is a link that leads nowhere"."""
        self._files.setdefault(remark, []).append(shown(path))

    def say(self) -> None:
        """Warn of everything that was kept (`DataWarning`)."""
        for remark, files in self._files.items():
            names = sorted(files)
            more = f" (and so for {len(names) - 1} more)" if len(names) > 1 else ""
            text = f"data: {names[0]} {remark}{more}"
            warnings.warn(DataWarning(text, remark=remark, files=tuple(names)), stacklevel=3)
