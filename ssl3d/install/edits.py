"""Checked text replacements in somebody else's source tree."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class EditError(ValueError):
    """An edit does not fit the source that it was given."""


@dataclass(frozen=True)
class Edit:
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
        EditError: a file is missing, or its text is not there exactly once. Nothing was written.
    """
    texts: dict[str, str] = {}
    for edit in edits:
        text = texts.get(edit.path)
        if text is None:
            file = root / edit.path
            if not file.is_file():
                raise EditError(f"{edit.path}: no such file below {root} (edit: {edit.why})")
            text = file.read_text(encoding="utf-8")
        found = text.count(edit.old)
        if found != 1:
            raise EditError(
                f"{edit.path}: the text to replace occurs {found} times, expected once "
                f"(edit: {edit.why}). Text:\n{edit.old}"
            )
        texts[edit.path] = text.replace(edit.old, edit.new)
    for path, text in texts.items():
        (root / path).write_text(text, encoding="utf-8")


def edit_set_version(edits: Sequence[Edit]) -> str:
    """Eight hexadecimal digits that change whenever an edit changes the source differently."""
    digest = hashlib.sha256()
    for edit in edits:
        for part in (edit.path, edit.old, edit.new):
            digest.update(part.encode())
            digest.update(b"\0")
    return digest.hexdigest()[:8]
