"""Where the files of a run are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from ssl3d.data.listing import ListedFile, ListedSample, Listing

Paths = tuple[str, ...]
"""Of the files of a sample."""

Mark = Callable[[ListedFile], tuple[str, int, int]]


class Places:
    """Where files of before are now: at their path, at the place that the user says they moved to,
    or wherever the one file of that name, size and time is, or the one of that size and time, which
    was renamed.
    """

    def __init__(
        self,
        before: Listing,
        *,
        now: Sequence[ListedSample],
        moves: Collection[tuple[str, str]],
    ) -> None:
        known = [file for sample in before.samples for file in sample.files]
        files = [file for sample in now for file in sample.files]
        self._moves = moves
        self._now = {file.path for file in files}
        self._new = self._now - {file.path for file in known}
        new = [file for file in files if file.path in self._new]
        self._pairs = [(mark, _once(known, mark), _once(new, mark)) for mark in (_named, _unnamed)]

    def of(self, sample: ListedSample) -> tuple[str, ...]:
        """Paths of its files; those of before where they are nowhere."""
        return tuple(next(self._candidates(file), file.path) for file in sample.files)

    def _candidates(self, file: ListedFile) -> Iterator[str]:
        if file.path in self._now:
            yield file.path
        for old, new in self._moves:
            if Path(file.path).is_relative_to(old):
                place = str(Path(new) / Path(file.path).relative_to(old))
                if place in self._new:
                    yield place
        for mark, before, now in self._pairs:
            if before.get(mark(file)) == file.path and mark(file) in now:
                yield now[mark(file)]


def with_other_channels(before: Sequence[Paths], *, now: Sequence[Paths]) -> dict[Paths, Paths]:
    """Samples that have more channels now, or fewer: what they were, and what they are."""
    by_file = {path: paths for paths in set(now) - set(before) for path in paths}
    return {
        was: by_file[path]
        for was in set(before) - set(now)
        for path in was
        if path in by_file and (set(was) < set(by_file[path]) or set(was) > set(by_file[path]))
    }


def _once(files: Sequence[ListedFile], mark: Mark) -> dict[tuple[str, int, int], str]:
    """Path by what files are known by, of those that share it with no other."""
    counts = Counter(map(mark, files))
    return {mark(file): file.path for file in files if counts[mark(file)] == 1}


def _named(file: ListedFile) -> tuple[str, int, int]:
    return Path(file.path).name, file.size, file.modified


def _unnamed(file: ListedFile) -> tuple[str, int, int]:
    return "", file.size, file.modified
