"""The fine-tuning runs that predict, as models of one kind."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssl3d.folder import RunFolder

if TYPE_CHECKING:
    from ssl3d.data.spec import DataSpec
    from ssl3d.geometry import Triple
    from ssl3d.kinds.task_config import TaskConfig
    from ssl3d.tasks.finetune.model import FinetuneModel

SAME = ("task", "input")
"""What runs must have in common so that their probabilities may be averaged."""


class Models(NamedTuple):
    """Models of one task, and how volumes get to them.

    Attributes:
        models: in evaluation mode, on one device.
        task: what they were trained for.
        preparation: of volumes.
        patch: size of a window.
        channels: names of the channels, in their order.
        described: what `model.json` of each says.
        digests: SHA-256 of each file of weights.
    """

    models: tuple[FinetuneModel, ...]
    task: TaskConfig
    preparation: DataSpec
    patch: Triple
    channels: tuple[str, ...]
    described: tuple[dict[str, Any], ...]
    digests: tuple[str, ...]


def runs_in(path: Path) -> list[Path]:
    """The run in a folder, or those of its folds; none where it is no run that has ended."""
    if _has_model(path):
        return [path]
    return sorted(
        (one for one in path.glob("fold-*") if _has_model(one)),
        key=lambda fold: (len(fold.name), fold.name),
    )


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """(runs, inputs): what leads and is a run, then the rest.

    Raises:
        ValueError: the first is no run, there is no input, or a run among them has not ended.
    """
    count = next((i for i, one in enumerate(arguments) if not runs_in(Path(one))), len(arguments))
    runs, inputs = list(arguments[:count]), list(arguments[count:])
    for one in inputs[:1]:
        if not runs or RunFolder(one).holds_a_run:
            raise ValueError(no_run(Path(one)))
    if not inputs:
        raise ValueError("there is nothing to predict: give files, folders or globs after the runs")
    return runs, inputs


def load_runs(paths: Sequence[str | Path], *, device: str | None = None) -> Models:
    """The models of some runs; a folder of folds stands for all of them.

    Args:
        paths: of the runs.
        device: such as "cpu" or "cuda"; none: a GPU where there is one.

    Raises:
        ValueError: a folder is no fine-tuning run that has ended, or the runs were trained for
            different tasks, channels, patches or preparations.
    """
    import torch

    from ssl3d.tasks.finetune.model_file import WEIGHTS, load_model

    folders: list[Path] = []
    for path in paths:
        found = runs_in(Path(path).expanduser())
        if not found:
            raise ValueError(no_run(Path(path)))
        folders += found
    if not folders:
        raise ValueError("there is no model: give at least one run")
    tuned = [load_model(folder) for folder in folders]
    first = tuned[0]
    for folder, one in zip(folders, tuned, strict=True):
        for part in SAME:
            if one.description[part] != first.description[part]:
                raise ValueError(
                    f"{folder} and {folders[0]} differ in {part}: {one.description[part]} and "
                    f"{first.description[part]}. Average runs that were trained alike"
                )
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return Models(
        tuple(one.model.to(where) for one in tuned),
        task=first.model.task.config,  # type: ignore[arg-type]
        preparation=first.preparation,
        patch=first.patch,
        channels=first.channels,
        described=tuple(dict(one.description) for one in tuned),
        digests=tuple(_digest(folder / WEIGHTS) for folder in folders),
    )


def no_run(path: Path) -> str:
    """What to say of a folder that is no run to predict with."""
    begun = RunFolder(path).holds_a_run
    why = "holds a run, but no fine-tuned model" if begun else "is no fine-tuning run"
    return f"{path} {why}: give the folder of an `ssl3d finetune` that has ended"


def _has_model(path: Path) -> bool:
    from ssl3d.tasks.finetune.model_file import DESCRIPTION

    return (path / DESCRIPTION).is_file()


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
