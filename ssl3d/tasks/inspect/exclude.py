"""Patterns for `data.exclude`: as few as name what shall be left out, and nothing else."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ssl3d.data.files import stem
from ssl3d.data.search import matches


def patterns_of(unwanted: Sequence[Path], *, wanted: Iterable[Path]) -> list[str]:
    """Globs that match every file of `unwanted` and none of `wanted`.

    Endings of names (`*_seg.nii.gz`) come before folders (`labels/*`), and these before names; of
    each, those that leave out most come first.
    """
    here, kept, left = Path.cwd(), list(wanted), list(unwanted)
    patterns: list[str] = []
    while left:
        best, gone = "", list[Path]()
        for pattern in _candidates(left):
            if any(matches(path, pattern, folder=here) for path in kept):
                continue
            matched = [path for path in left if matches(path, pattern, folder=here)]
            if len(matched) > len(gone):
                best, gone = pattern, matched
        assert gone, "the whole path matches itself alone"
        patterns.append(best)
        left = [path for path in left if path not in set(gone)]
    return patterns


def _candidates(paths: Sequence[Path]) -> Iterator[str]:
    for make in (_by_ending, _by_folder, _by_name, _by_path):
        found = (pattern for path in paths for pattern in make(path))
        # Bytes of a name that are no UTF-8, which a spec must be: any character stands for one.
        yield from dict.fromkeys(re.sub(r"[\udc80-\udcff]", "?", one) for one in found)


def _by_ending(path: Path) -> Iterator[str]:
    """`*_seg.nii.gz`: from the last word of the name on."""
    word = re.search(r"[._-][A-Za-z]\w*?$|[_-][A-Za-z]+$", stem(path))
    if word is not None:
        yield "*" + glob.escape(path.name[word.start() :])


def _by_folder(path: Path) -> Iterator[str]:
    if path.parent.name:
        yield f"{glob.escape(path.parent.name)}/*"


def _by_name(path: Path) -> Iterator[str]:
    yield glob.escape(path.name)


def _by_path(path: Path) -> Iterator[str]:
    yield glob.escape(str(path.absolute()))
