"""Which samples are held out: whole groups, the same ones for every seed and machine."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from ssl3d.data.data_error import DataError
from ssl3d.data.files import Source, stem
from ssl3d.data.spec import DataSpec


def split_sources(
    sources: Sequence[Source], *, spec: DataSpec
) -> tuple[list[Source], list[Source]]:
    """(training samples, held-out samples); no group is on both sides.

    Groups are ranked by a hash of their name, so the split depends on no seed, and adding files
    moves few of the others.

    Raises:
        DataError: a sample has no group, or the grouping file cannot be used.
    """
    groups = group_of(sources, spec=spec)
    ranked = sorted(set(groups), key=lambda group: hashlib.sha256(group.encode()).digest())
    count = 0
    if spec.holdout > 0 and len(ranked) > 1:
        count = min(max(1, round(spec.holdout * len(ranked))), len(ranked) - 1)
    held = set(ranked[:count])
    pairs = list(zip(sources, groups, strict=True))
    train = [source for source, group in pairs if group not in held]
    return train, [source for source, group in pairs if group in held]


def group_of(sources: Sequence[Source], *, spec: DataSpec) -> list[str]:
    """Group of each sample; its own path where the spec has no grouping."""
    if spec.group_by is not None:
        return _by_expression(sources, spec.group_by)
    if spec.group_file is not None:
        return _by_file(sources, spec.group_file)
    # The end of the path: a set that was moved to another folder or machine splits alike.
    short = ["/".join(source.files[0].parts[-3:]) for source in sources]
    return short if len(set(short)) == len(short) else [source.name for source in sources]


def _by_expression(sources: Sequence[Source], expression: str) -> list[str]:
    pattern = re.compile(expression)
    groups = []
    for source in sources:
        match = pattern.search(source.files[0].name) or pattern.search(source.name)
        if match is None or match.group(1) is None:
            raise DataError(
                f"data.group_by: {expression!r} does not match {source.name!r}: give an expression "
                "that matches every file"
            )
        groups.append(match.group(1))
    return groups


def _by_file(sources: Sequence[Source], group_file: str) -> list[str]:
    mapping = _read_mapping(Path(group_file).expanduser())
    groups, unknown = [], []
    for source in sources:
        path = source.files[0]
        found = [mapping[key] for key in (path.name, stem(path), source.name) if key in mapping]
        groups.append(found[0] if found else "")
        if not found:
            unknown.append(path.name)
    if unknown:
        raise DataError(
            f"data.group_file: {group_file!r} has no group for {len(unknown)} of {len(sources)} "
            f"files, such as {', '.join(unknown[:3])}: add them, by file name with or without its "
            "ending"
        )
    return groups


def _read_mapping(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"data.group_file: cannot read {str(path)!r}: {error.strerror}") from error
    if path.suffix.lower() == ".csv":
        reader = csv.DictReader(text.splitlines())
        if not {"name", "group"} <= set(reader.fieldnames or ()):
            raise DataError(
                f"data.group_file: {str(path)!r} has the columns {list(reader.fieldnames or ())}: "
                "name and group are needed"
            )
        return {row["name"]: row["group"] for row in reader}
    try:
        mapping = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"data.group_file: {str(path)!r} is not JSON: {error}") from error
    if not isinstance(mapping, dict):
        raise DataError(f"data.group_file: {str(path)!r} holds no object of the form name: group")
    return {str(name): str(group) for name, group in mapping.items()}
