"""The fine-tuning runs that predict, as models of one kind."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ssl3d.data.data_error import shown
from ssl3d.folder import RunFolder

if TYPE_CHECKING:
    import torch

    from ssl3d.data.spec import DataSpec
    from ssl3d.geometry import Triple
    from ssl3d.kinds.task_config import TaskConfig
    from ssl3d.tasks.finetune.model import FinetuneModel
    from ssl3d.tasks.finetune.window_spec import WindowSpec

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
        windows: how each run took them.
        described: what `model.json` of each says.
        digests: SHA-256 of each file of weights.
        remarks: what must be said of them.
    """

    models: tuple[FinetuneModel, ...]
    task: TaskConfig
    preparation: DataSpec
    patch: Triple
    channels: tuple[str, ...]
    windows: tuple[WindowSpec, ...]
    described: tuple[dict[str, Any], ...]
    digests: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def device(self) -> torch.device:
        """Of all models."""
        return next(self.models[0].parameters()).device


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
            different tasks, channels, patches or preparations, a fold has left no model, or there
            is no such device.
    """
    from ssl3d.tasks.device import device_of
    from ssl3d.tasks.finetune.model_file import WEIGHTS, load_model

    where = device_of(device)
    folders: list[Path] = []
    for path in paths:
        found = runs_in(Path(path).expanduser())
        if not found:
            raise ValueError(no_run(Path(path)))
        folders += _all_ended(Path(path).expanduser(), found)
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
    said = [unfinished(f, one.description) for f, one in zip(folders, tuned, strict=True)]
    if len(folders) > 1:
        said.append(f"The mean of {len(folders)} models: {', '.join(map(shown, folders))}")
    return Models(
        tuple(one.model.to(where) for one in tuned),
        task=first.model.task.config,  # type: ignore[arg-type]
        preparation=first.preparation,
        patch=first.patch,
        channels=first.channels,
        windows=tuple(one.windows for one in tuned),
        described=tuple(dict(one.description) for one in tuned),
        digests=tuple(_digest(folder / WEIGHTS) for folder in folders),
        remarks=tuple(line for line in said if line is not None),
    )


def unfinished(folder: str | Path, description: Mapping[str, Any]) -> str | None:
    """What to say of a model whose run was stopped; None where it has ended."""
    trained = description["trained"]
    if trained.get("finished", True):
        return None
    return (
        f"{folder} was stopped after step {trained['steps']} and has not ended: this is its model "
        f"of then. Go on with: ssl3d resume {folder}"
    )


def _all_ended(path: Path, found: list[Path]) -> list[Path]:
    """The runs of a folder, where all of its folds that were begun are among them."""
    begun = [one for one in path.glob("fold-*") if RunFolder(one).holds_a_run]
    lacking = sorted(one.name for one in begun if one not in found)
    if lacking and found != [path]:
        raise ValueError(
            f"{path}: {', '.join(lacking)} has no fine-tuned model yet: finish it by `ssl3d "
            "finetune ... --fold all --resume`, or give the folds that have one by one"
        )
    return found


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
