"""Where the files of a run are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from ssl3d.data.listing import ListedFile, ListedSample, Listing


class Places:
    """Where files of before are now: at their path, at the place that the user says they moved to,
    or wherever the one file of that name, size and time is.
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
        self._once = _once(known)
        self._alike = _once(file for file in files if file.path in self._new)

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
        if self._once.get(_mark(file)) == file.path and _mark(file) in self._alike:
            yield self._alike[_mark(file)]


def _once(files: Iterable[ListedFile]) -> dict[tuple[str, int, int], str]:
    """Path by name, size and time, of files that share these with no other."""
    files = list(files)
    counts = Counter(map(_mark, files))
    return {_mark(file): file.path for file in files if counts[_mark(file)] == 1}


def _mark(file: ListedFile) -> tuple[str, int, int]:
    return Path(file.path).name, file.size, file.modified
