"""Which label stands for what in predicted label maps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ssl3d.data.data_error import DataError
from ssl3d.data.files import stem
from ssl3d.data.scan import open_scan
from ssl3d.tasks.finetune.predicted import LABELS

BACKGROUND = "background"


def legend_beside(predictions: Sequence[Path]) -> dict[str, int] | None:
    """Name to value of each label, as `NAME.labels.json` beside the predictions say.

    Returns:
        None where there is no such file.

    Raises:
        DataError: one cannot be read, is missing, or differs from the first.
    """
    files = [path.with_name(stem(path) + LABELS) for path in predictions]
    there = [file for file in files if file.is_file()]
    if not there:
        return None
    if len(there) < len(files):
        lacking = next(file for file in files if file not in there)
        raise DataError(
            f"{lacking} is missing, and {len(there)} of {len(files)} predictions have such a file: "
            "name the labels by --label NAME=VALUE (labels=...)"
        )
    first = _read(there[0])
    for file in there[1:]:
        if _read(file) != first:
            raise DataError(
                f"{file} names other labels than {there[0]}: evaluate predictions of one kind, or "
                "name the labels by --label NAME=VALUE (labels=...)"
            )
    return first


def check_legend(legend: Mapping[str, int], *, ignore: int | None) -> None:
    """Judge what is compared.

    Raises:
        DataError: two labels have one value, or what is ignored is a label or background.
    """
    values = list(legend.values())
    twice = sorted(name for name, value in legend.items() if values.count(value) > 1)
    if twice:
        raise DataError(f"labels {', '.join(twice)} have one value: give each its own")
    if ignore is not None and ignore in (0, *values):
        raise DataError(
            f"{ignore} is ignored, and is a label or background: ignore another value, or none"
        )


def legend_of_values(labels: Iterable[Path], *, ignore: int | None) -> dict[str, int]:
    """Every value above 0 that label maps hold, named by itself; reads them all.

    Raises:
        DataError: there is none.
    """
    found: set[int] = set()
    for file in labels:
        values = np.unique(open_scan(file).voxels())
        found |= {int(value) for value in values if value > 0 and value == round(value)}
    found.discard(-1 if ignore is None else ignore)
    if not found:
        raise DataError("the label maps hold nothing above 0: there is nothing to compare")
    return {f"label {value}": value for value in sorted(found)}


def _read(file: Path) -> dict[str, int]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None
    if not isinstance(found, Mapping) or not all(type(v) is int for v in found.values()):
        raise DataError(f'{file}: the form is {{"{BACKGROUND}": 0, "liver": 1, ...}}')
    legend = {name: value for name, value in found.items() if name != BACKGROUND}
    if not legend:
        raise DataError(f"{file} names no label beside {BACKGROUND}")
    return legend
