"""`predict`: from runs and files to segmentations, or to a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ssl3d.data.data_error import BadVolume, shown
from ssl3d.data.files import Source
from ssl3d.data.on_grid import prepare_on_grid
from ssl3d.files import remove_left_behind
from ssl3d.tasks.finetune.predict import predict_map, predict_outputs
from ssl3d.tasks.finetune.predicted import LABELS
from ssl3d.tasks.finetune.window_spec import WindowSpec
from ssl3d.tasks.predict.inputs import find_inputs, named
from ssl3d.tasks.predict.outputs import OutputTable
from ssl3d.tasks.predict.progress import CaseProgress
from ssl3d.tasks.predict.record import describe, known_cases, write_record
from ssl3d.tasks.predict.runs import Models, load_runs

PathLike = str | os.PathLike[str]
MAP = ".nii.gz"


@dataclass(frozen=True)
class Predicted:
    """What `predict` leaves.

    Attributes:
        out: the folder.
        files: name of a case to the file that holds what was predicted of it.
        kept: names of those that were there already.
        bad: file to problem, for inputs that cannot be used.
    """

    out: Path
    files: Mapping[str, Path]
    kept: tuple[str, ...]
    bad: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """1 where an input could not be used."""
        return 1 if self.bad else 0


def predict(
    runs: PathLike | Sequence[PathLike],
    inputs: PathLike | Sequence[PathLike],
    *,
    out: PathLike,
    windows: WindowSpec | None = None,
    again: bool = False,
    device: str | None = None,
    console: Console | None = None,
) -> Predicted:
    """Predict files by one or several fine-tuning runs, whose probabilities are averaged.

    Tasks on voxels leave `NAME.nii.gz` in geometry, spacing and orientation of the source, and the
    names of its labels in `NAME.labels.json`; tasks on cases a line in `predictions.csv`.
    `predictions.json` says what made them from which files. What is there already is kept; an
    input that cannot be used is said at the end, and the others are predicted.

    Args:
        runs: folders of `finetune`; a folder of folds stands for all of them.
        inputs: files, folders and globs; for several channels `NAME=FILE` or `NAME=PATTERN` each.
        out: the folder.
        windows: overlap, mirroring, precision.
        again: True predicts what is there anew.
        device: such as "cpu" or "cuda"; none: a GPU where there is one.
        console: where progress is printed; the terminal by default.

    Raises:
        ValueError: a folder is no run, the runs do not go together, nothing is found, or the
            folder holds predictions that were made otherwise.
    """
    windows, console, folder = windows or WindowSpec(), console or Console(), Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    models = load_runs([Path(one) for one in _several(runs)], device=device)
    given = [os.fspath(one) for one in _several(inputs)]
    sources = find_inputs(given, channels=models.channels, out=folder)
    how = describe(models, windows=windows)
    known = known_cases(folder, how, sources=sources, again=again)
    cases = named(sources, known=known)
    folder.mkdir(parents=True, exist_ok=True)
    for parent in {(folder / name).parent for name in cases} | {folder}:
        remove_left_behind(parent, "*")
    write_record(folder, how, cases=cases, known=known)
    results = _Results(models, folder=folder, windows=windows)
    if again:
        results.remove(cases)
    kept = tuple(name for name in cases if results.has(name))
    if kept:
        console.print(f"{len(kept)} of {len(cases)} are there already and kept")
    bad: dict[str, str] = {}
    progress = CaseProgress(console, cases=len(cases) - len(kept))
    with progress.shown():
        for name, source in cases.items():
            if name in kept:
                continue
            try:
                results.make(name, source, progress=progress)
            except BadVolume as error:
                bad[error.path] = error.reason
            progress.case(name)
    files = {name: results.file(name) for name in cases if results.has(name)}
    text = f"{len(files)} of {len(cases)} cases are predicted in {shown(folder)}"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    for path, reason in bad.items():
        text = f"Could not be used: {shown(path)}: {reason}"
        console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    return Predicted(folder, files, kept, bad)


class _Results:
    """Makes results, and knows which are there."""

    def __init__(self, models: Models, *, folder: Path, windows: WindowSpec) -> None:
        self._models, self._folder, self._windows = models, folder, windows
        self._table: OutputTable | None = None
        if models.task.per == "case":
            self._table = OutputTable(folder, outputs=models.task.outputs())

    def file(self, name: str) -> Path:
        return self._folder / (name + MAP) if self._table is None else self._table.path

    def has(self, name: str) -> bool:
        if self._table is not None:
            return name in self._table.rows
        return all(file.is_file() for file in self._files(name))

    def remove(self, names: Iterable[str]) -> None:
        """At once, so that what is made again and stopped goes on with no old result."""
        for name in names:
            if self._table is not None:
                self._table.rows.pop(name, None)
            else:
                for file in self._files(name):
                    file.unlink(missing_ok=True)
        if self._table is not None:
            self._table.write()

    def _files(self, name: str) -> list[Path]:
        beside = [self._folder / (name + LABELS)] if self._models.task.legend() else []
        return [self.file(name), *beside]

    def make(self, name: str, source: Source, *, progress: CaseProgress) -> None:
        models, patch, windows = self._models.models, self._models.patch, self._windows
        prepared = prepare_on_grid(source, spec=self._models.preparation)
        if self._table is not None:
            outputs = predict_outputs(models, prepared, patch=patch, windows=windows)
            self._table.add(name, outputs.tolist())
            return
        file = self.file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        predict_map(models, prepared, patch=patch, windows=windows, file=file, done=progress.part)


def _several(given: PathLike | Sequence[PathLike]) -> list[PathLike]:
    return [given] if isinstance(given, str | os.PathLike) else list(given)
