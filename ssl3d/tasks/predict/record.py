"""What a folder of predictions was made by, and from which files: `predictions.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl3d.data.data_error import shown
from ssl3d.data.source import Source
from ssl3d.files import write_json
from ssl3d.tasks.finetune.window_spec import WindowSpec
from ssl3d.tasks.predict.runs import Models

RECORD = "predictions.json"
FORMAT = 1
HOW = ("models", "windows")
"""What all predictions of a folder have in common."""


def describe(models: Models, *, windows: WindowSpec) -> dict[str, Any]:
    """How predictions are made, in plain values."""
    first = models.described[0]
    return {
        "format": FORMAT,
        "task": first["task"],
        "backbone": first["backbone"],
        "models": [
            {"sha256": digest, "trained": described["trained"]}
            for digest, described in zip(models.digests, models.described, strict=True)
        ],
        # How many windows are computed at once changes nothing.
        "windows": windows.model_dump(mode="json", exclude={"batch"}),
    }


def read_record(folder: Path) -> dict[str, Any] | None:
    """What the folder says; None where it says nothing.

    Raises:
        ValueError: it cannot be read.
    """
    path = folder / RECORD
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is not readable as JSON: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{path} is not of format {FORMAT}, which this version reads")
    lacking = {"task", "backbone", "cases", *HOW} - set(found)
    if lacking:
        raise ValueError(f"{path} is not whole, it lacks {', '.join(sorted(lacking))}: put it back")
    return found


def known_cases(
    folder: Path, how: Mapping[str, Any], *, sources: Sequence[Source], again: bool
) -> dict[str, list[str]]:
    """Name to files of what the folder holds already.

    Args:
        folder: of the predictions.
        how: they are about to be made.
        sources: what is about to be predicted.
        again: True where what is there shall be made anew.

    Raises:
        ValueError: that was made by other models or other windows, and shall not be made again, or
            not all of it.
    """
    before = read_record(folder)
    if before is None:
        return {}
    cases: dict[str, list[str]] = before["cases"]
    changed = [part for part in HOW if before.get(part) != how[part]]
    asked = {tuple(_files(source)) for source in sources}
    others = [name for name, files in cases.items() if tuple(files) not in asked]
    if changed and (not again or others):
        also = f" (of {others[0]}, which is not asked for)" if again else ""
        raise ValueError(
            f"{folder} holds predictions of other {' and '.join(changed)}{also}: give another "
            "folder, or --again (again=True) with all of its inputs"
        )
    return cases


def write_record(
    folder: Path,
    how: Mapping[str, Any],
    *,
    cases: Mapping[str, Source],
    known: Mapping[str, Sequence[str]],
) -> None:
    """Write it, with all that is known and about to be made."""
    new = {name: _files(source) for name, source in cases.items()}
    write_json(folder / RECORD, {**how, "cases": {**known, **new}})


def _files(source: Source) -> list[str]:
    return [shown(file) for file in source.files]
