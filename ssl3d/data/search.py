"""Files below a folder that match a pattern: through links too, and nothing passed over unsaid."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import Literal

from ssl3d.data.notes import Notes

# What systems call the folders of deleted and derived files, beside those that begin with a dot.
TRASH = ("$RECYCLE.BIN", "#recycle", "@Recycle", "@eaDir", "lost+found")

# Parts of a pattern that may come next: a path is matched as by a finite automaton.
States = frozenset[int]


def seen_from(folder: Path | None, path: Path) -> Path:
    """The path from a folder that holds it, else the whole path; without a folder as it is given.

    Seen from where a run was begun a path is the same later, when the current folder is another.
    """
    if folder is None:
        return path
    whole = path.absolute()
    return whole.relative_to(folder) if whole.is_relative_to(folder) else whole


def matches(path: Path, pattern: str, *, folder: Path | None = None) -> bool:
    """True where the end of the path matches, such as `*_seg.nii.gz` or `labels/**`.

    The path is seen from `folder`, see `seen_from`.
    """
    given = Path(pattern).expanduser()
    absolute = given.is_absolute()
    parts = given.parts if absolute else ("**", *given.parts)
    states = _closed({0}, parts)
    for name in (path.absolute() if absolute else seen_from(folder, path)).parts:
        states = _after(states, name, parts)
    return len(parts) in states


def search_glob(pattern: str, *, notes: Notes) -> list[Path]:
    """Files that match a glob; `**` stands for folders at any depth."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if has_magic(part)), len(parts))
    return search(Path(*parts[:fixed]), parts[fixed:], notes=notes)


def search(folder: Path, pattern: Sequence[str], *, notes: Notes) -> list[Path]:
    """Files below `folder` whose path matches the parts of `pattern`, sorted, real ones first.

    A folder is searched once, however many links lead to it. Names that begin with a dot, and
    folders for deleted files, are matched by no wildcard.

    Args:
        folder: where to start.
        pattern: a name or wildcard for each part of the path; `**` for any number of folders.
        notes: gets what could not be searched, and links that lead nowhere.
    """
    found: list[tuple[bool, Path]] = []
    seen: set[tuple[str, States]] = set()
    real, linked = [(folder, _closed({0}, pattern))], list[tuple[Path, States]]()
    while real or linked:
        # Links come last, so that a file has the name of its real place where that is inside.
        here, states = real.pop() if real else linked.pop(0)
        key = (os.path.realpath(here), states)
        if key in seen:
            continue
        seen.add(key)
        for entry in _entries(here, notes):
            after = _after(states, entry.name, pattern)
            if not after or _hidden(entry.name, states, pattern):
                continue
            path, link, kind = here / entry.name, entry.is_symlink(), _kind(entry, notes)
            if kind == "folder" and after != {len(pattern)}:
                (linked if link else real).append((path, after))
            elif kind == "file" and len(pattern) in after:
                found.append((link, path))
    return [path for _, path in sorted(found)]


def _entries(folder: Path, notes: Notes) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        notes.add(folder, f"cannot be searched: {error.strerror}")


def _kind(entry: os.DirEntry[str], notes: Notes) -> Literal["folder", "file", "other"]:
    """What it is, or what a link leads to."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        if entry.is_symlink():
            notes.add(entry.path, "is a link that leads nowhere")
    except OSError as error:
        notes.add(entry.path, f"cannot be looked at: {error.strerror}")
    return "other"


def _hidden(name: str, states: States, pattern: Sequence[str]) -> bool:
    """True for names that only a pattern that spells them out may match."""
    if not name.startswith(".") and name not in TRASH:
        return False
    return not any(pattern[i][:1] == name[0] for i in states if i < len(pattern))


def _after(states: States, name: str, pattern: Sequence[str]) -> States:
    """States after one more name."""
    after = set()
    for i in states:
        if i == len(pattern):
            continue
        if pattern[i] == "**":
            after.add(i)
        elif fnmatchcase(name, pattern[i]):
            after.add(i + 1)
    return _closed(after, pattern)


def _closed(states: set[int], pattern: Sequence[str]) -> States:
    """With what `**` reaches by standing for nothing."""
    for i, part in enumerate(pattern):
        if i in states and part == "**":
            states.add(i + 1)
    return frozenset(states)
