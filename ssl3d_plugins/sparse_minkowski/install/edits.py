"""Checked text replacements in somebody else's source tree."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError


class Edit(NamedTuple):
    """Replace `old`, which must occur exactly once in `path`, with `new`.

    `old` and `new` are whole lines, each ending with a line break.
    """

    path: str
    old: str
    new: str
    why: str


def apply_edits(root: Path, *, edits: Sequence[Edit]) -> None:
    """Apply `edits` to the source tree at `root`, all of them or none.

    Raises:
        InstallError: a file is missing, or its text is not there exactly once.
    """
    texts: dict[str, str] = {}
    for path, old, new, why in edits:
        file = root / path
        if not file.is_file():
            raise _misfit(f"{path}: no such file below {root} (edit: {why})")
        text = texts.get(path) or file.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise _misfit(
                f"{path}: the text to replace occurs {text.count(old)} times, expected once "
                f"(edit: {why}). Text:\n{old}"
            )
        texts[path] = text.replace(old, new)
    for path, text in texts.items():
        (root / path).write_text(text, encoding="utf-8")


def _misfit(reason: str) -> InstallError:
    advice = "report this: the edits of this ssl3d do not fit the 0.5.4 source"
    return InstallError("edit source", reason=reason, advice=advice)


def edit_set_version(edits: Sequence[Edit]) -> str:
    """Eight hexadecimal digits that change whenever an edit changes the source differently."""
    parts = (part for path, old, new, _ in edits for part in (path, old, new))
    return hashlib.sha256("".join(f"{part}\0" for part in parts).encode()).hexdigest()[:8]
