"""Predictions and the label maps that they belong to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.files import ENDINGS, find_sources, stem
from ssl3d.data.manifest_table import Table
from ssl3d.data.read import check_source
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec

PREDICTION, LABEL, GROUP = "prediction", "label", "group"
"""Columns of a manifest."""

SHOWN = 5
"""Names in a message."""


class Pair(NamedTuple):
    """A predicted label map, the true one, and whom they are of (None where nobody says)."""

    prediction: Path
    label: Path
    group: str | None = None


def find_pairs(
    predictions: str,
    labels: str | None,
    *,
    group_by: str | None = None,
    allow_missing: bool = False,
) -> tuple[list[Pair], list[str]]:
    """(pairs, sorted by the path of the prediction; label maps that have no prediction).

    Args:
        predictions: a folder, a pattern with stars, a file, or without `labels` a manifest with the
            columns `prediction`, `label` and, where there is one, `group`.
        labels: the same kind: files of two folders belong together where their paths below it
            differ in nothing but the ending, those of two patterns where the stars stand for the
            same.
        group_by: regular expression with one group that names the person, in the prediction's path.
        allow_missing: True leaves out label maps that have no prediction; in folders alone.

    Raises:
        DataError: nothing is found, one lacks the other, or they lie on different grids.
    """
    missing: list[str] = []
    if labels is None:
        pairs = _manifest(Path(predictions))
    elif Path(predictions).is_dir() or Path(labels).is_dir():
        pairs, missing = _folders(Path(predictions), Path(labels), allow_missing=allow_missing)
    else:
        both = {PREDICTION: predictions, "labels": labels}
        stars = any("*" in path for path in both.values())
        channels = both if stars else {name: (path,) for name, path in both.items()}
        try:
            spec = DataSpec(volumes=None, channels=channels)
        except ValueError as error:
            raise DataError(f"predictions and labels: {error}") from None
        pairs = [
            Pair(source.files[0], source.files[1])
            for source in find_sources(spec, option="evaluate")
        ]
    if group_by is not None:
        pairs = [pair._replace(group=_group(pair.prediction, group_by)) for pair in pairs]
    _check_grids(pairs)
    return pairs, missing


def _manifest(path: Path) -> list[Pair]:
    if path.suffix.lower() not in (".csv", ".tsv", ".json"):
        raise DataError(
            f"{path}: give label maps as well, or a table (.csv, .tsv, .json) with the columns "
            f"{PREDICTION} and {LABEL}"
        )
    table = Table(path, needed=(PREDICTION, LABEL), option="evaluate")
    table.check_names((PREDICTION, LABEL, GROUP))
    sources = table.sources((PREDICTION, LABEL))
    groups = table.groups(GROUP) or repeat(None, len(sources))
    return [
        Pair(source.files[0], source.files[1], group)
        for source, group in zip(sources, groups, strict=True)
    ]


def _folders(
    predictions: Path, labels: Path, *, allow_missing: bool
) -> tuple[list[Pair], list[str]]:
    guesses, truths = _below(predictions), _below(labels)
    without_label = sorted(set(guesses) - set(truths))
    without_guess = sorted(set(truths) - set(guesses))
    if without_label:
        raise DataError(
            f"{len(without_label)} of {len(guesses)} predictions in {predictions} have no label "
            f"map in {labels}, such as {', '.join(without_label[:SHOWN])}. Where names differ, "
            "give patterns in which the stars stand for the same"
        )
    if without_guess and not allow_missing:
        raise DataError(
            f"{len(without_guess)} of {len(truths)} label maps in {labels} have no prediction in "
            f"{predictions}, such as {', '.join(without_guess[:SHOWN])}: predict them, or leave "
            "them out by --allow-missing (allow_missing=True)"
        )
    return [Pair(guesses[name], truths[name]) for name in sorted(guesses)], without_guess


def _below(folder: Path) -> dict[str, Path]:
    """Volumes by their path below a folder, without the ending."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder, and the other one is: give two folders")
    found: dict[str, Path] = {}
    for source in find_sources(DataSpec(volumes=str(folder)), option="evaluate"):
        file = source.files[0]
        name = file.relative_to(folder).with_name(stem(file)).as_posix()
        if name in found:
            raise DataError(
                f"{found[name]} and {file} have one name but for the ending "
                f"({', '.join(ENDINGS)}): remove one"
            )
        found[name] = file
    return found


def _group(path: Path, expression: str) -> str:
    try:
        compiled = re.compile(expression)
    except re.error as error:
        raise DataError(f"group_by: {expression!r} is no regular expression: {error}") from None
    match = compiled.search(path.as_posix())
    if compiled.groups != 1 or match is None:
        raise DataError(
            f"group_by: {expression!r} must match every path, with one group that names the "
            f"person; it has {compiled.groups}"
            + ("" if match else f", and does not match {path.as_posix()!r}")
        )
    return match[1]


def _check_grids(pairs: Sequence[Pair]) -> None:
    """All that do not fit, in one message, before any is read."""
    problems = []
    for pair in pairs:
        try:
            check_source(Source((pair.prediction, pair.label)))
        except BadVolume as error:
            problems.append(str(error))
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        lines = "\n  ".join(problems[:SHOWN])
        raise DataError(
            f"{len(problems)} of {len(pairs)} label maps cannot be compared with their "
            f"predictions:\n  {lines}{more}"
        )
