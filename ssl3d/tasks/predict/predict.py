"""`predict`: from runs and files to segmentations, or to a table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ssl3d.data.data_error import BadVolume, shown
from ssl3d.data.source import Source
from ssl3d.files import remove_left_behind
from ssl3d.folder import RunFolder
from ssl3d.run.lock import RunLock
from ssl3d.tasks.finetune.averaged import NotFinite
from ssl3d.tasks.finetune.window_spec import WindowSpec
from ssl3d.tasks.finetune.windows_on import windows_on
from ssl3d.tasks.predict.inputs import find_inputs, named
from ssl3d.tasks.predict.progress import CaseProgress
from ssl3d.tasks.predict.record import describe, known_cases, write_record
from ssl3d.tasks.predict.results import Results
from ssl3d.tasks.predict.runs import Models, load_runs
from ssl3d.tasks.predict.windows import windows_of

PathLike = str | os.PathLike[str]


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
        windows: overlap, mirroring, precision; options that it is not given, or all where it is
            None, are those of the runs.
        again: True predicts what is there anew.
        device: such as "cpu" or "cuda"; none: a GPU where there is one.
        console: where progress is printed; the terminal by default.

    Raises:
        ValueError: a folder is no run, the runs do not go together, nothing is found, or the
            folder holds predictions that were made otherwise.
        RunError: another process predicts into the folder, or it cannot be written.
    """
    console, folder = console or Console(), Path(out)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    models = load_runs([Path(one) for one in _several(runs)], device=device)
    for line in models.remarks:
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
    windows = windows_of(models.windows, asked=windows, outputs=models.task.outputs())
    windows, remark = windows_on(models.device, windows=windows)
    if remark is not None:
        console.print(remark, style="yellow", markup=False, highlight=False, soft_wrap=True)
    given = [os.fspath(one) for one in _several(inputs)]
    sources = find_inputs(given, channels=models.channels, out=folder)
    with RunLock(RunFolder(folder), say=console.print):
        return _predict(
            models, sources, folder=folder, windows=windows, again=again, console=console
        )


def _predict(
    models: Models,
    sources: Sequence[Source],
    *,
    folder: Path,
    windows: WindowSpec,
    again: bool,
    console: Console,
) -> Predicted:
    """Predict into a folder that nobody else writes to."""
    how = describe(models, windows=windows)
    known = known_cases(folder, how, sources=sources, again=again)
    cases = named(sources, known=known)
    results = Results(models, folder=folder, windows=windows)
    results.check_nobody_elses(name for name in cases if name not in known)
    for parent in {(folder / name).parent for name in cases} | {folder}:
        remove_left_behind(parent, "*")
    if again:  # before it is said that all that is there is of these models
        results.remove(cases)
    write_record(folder, how, cases=cases, known=known)
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
            except NotFinite as error:
                bad[source.name] = str(error)
            progress.case(name)
    files = {name: results.file(name) for name in cases if results.has(name)}
    text = f"{len(files)} of {len(cases)} cases are predicted in {shown(folder)}"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    for path, reason in bad.items():
        text = f"Could not be used: {shown(path)}: {reason}"
        console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    return Predicted(folder, files, kept, bad)


def _several(given: PathLike | Sequence[PathLike]) -> list[PathLike]:
    return [given] if isinstance(given, str | os.PathLike) else list(given)
