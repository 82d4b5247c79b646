"""Groups from a file, CSV or JSON, that names volumes. Whatever is unclear in it is refused."""

from __future__ import annotations

import json
import os
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ssl3d.data.data_error import DataError
from ssl3d.data.source import Source
from ssl3d.data.table import NOTHING, Problem, csv_rows, plain_text, read_text
from ssl3d.data.volume_path import stem

Row = tuple[str, Any, str]
"""Name, group, and where that stands in the file."""


def groups_from_file(
    sources: Sequence[Source], *, path: Path, option: str = "data.group_file"
) -> list[str]:
    """Group of each sample: that of the entry which names one of its files.

    An entry names a file by the end of its path, such as `case_1.nii.gz`, `site_a/case_1.nii.gz`
    or the whole path, with or without the ending. Errors call the file `option`.

    Raises:
        DataError: the file cannot be used, a sample has no group, or entries disagree about it.
    """
    problem = partial(_error, path, option=option)
    known = _by_name(_rows(path, problem=problem), problem=problem)
    found = [{known[name] for name in names_of(source) if name in known} for source in sources]
    unknown = [s.files[0].name for s, groups in zip(sources, found, strict=True) if not groups]
    if unknown:
        raise problem(
            f"has no group for {len(unknown)} of {len(sources)} files, such as "
            f"{', '.join(unknown[:3])}: add them, by file name with or without its ending",
        )
    for source, groups in zip(sources, found, strict=True):
        if len(groups) > 1:
            raise problem(
                f"gives {source.name} the groups {_list(groups)}, by entries of its name with and "
                "without ending, folders or channel: give it one",
            )
    return [groups.pop() for groups in found]


def names_of(source: Source) -> Iterator[str]:
    """Every name that an entry may give the files of a sample: ends of their paths."""
    for file in source.files:
        parts = Path(plain_text(Path(os.path.abspath(file)).as_posix())).parts
        last = Path(parts[-1])
        for start in range(len(parts)):
            for name in (last.name, stem(last)):
                yield str(PurePosixPath(*parts[start:-1], name))


def _by_name(rows: Iterable[Row], *, problem: Problem) -> dict[str, str]:
    known: dict[str, str] = {}
    for given, value, place in rows:
        name = plain_text(given)
        if not name:
            raise problem(f"has a group without a name, {place}")
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise problem(
                f"gives {name!r} the group {reprlib.repr(value)}, {place}: give text or a whole "
                "number",
            )
        group = plain_text(str(value))
        if group.lower() in NOTHING:
            raise problem(f"gives {name!r} no group, {place}: give one to every name")
        name = str(PurePosixPath(name))  # "./a/b" is "a/b"
        if known.setdefault(name, group) != group:
            raise problem(
                f"gives {name!r} the groups {_list({known[name], group})}: where files of several "
                "folders have this name, write the folder too (folder/name)",
            )
    return known


def _rows(path: Path, *, problem: Problem) -> Iterator[Row]:
    text = read_text(path, problem=problem)
    if path.suffix.lower() in (".csv", ".tsv"):
        rows = csv_rows(text, needed=("name", "group"), problem=problem)
        return ((row["name"], row["group"], place) for row, place in rows)
    return _json_rows(text, problem=problem)


def _json_rows(text: str, *, problem: Problem) -> Iterator[Row]:
    """Also names that stand there twice, which a dict would drop."""
    form = 'the form is {"file name": "group"}'
    try:
        content = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise problem(f"is not JSON: {error}; {form}") from error
    if not isinstance(content, _Pairs):
        raise problem(f"holds no object: {form}")
    for number, (name, value) in enumerate(content, start=1):
        if isinstance(value, list):  # an object inside is a list of pairs as well
            raise problem(f"gives {name!r} several values: {form}")
        yield name, value, f"entry {number}"


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with every entry, in order."""


def _list(groups: Iterable[str]) -> str:
    return " and ".join(repr(group) for group in sorted(groups))


def _error(path: Path, problem: str, *, option: str) -> DataError:
    return DataError(f"{option}: {str(path)!r} {problem}")
