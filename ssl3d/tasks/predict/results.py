"""What is made of each case in a folder of predictions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ssl3d.data.on_grid import prepare_on_grid
from ssl3d.data.source import Source
from ssl3d.tasks.finetune.predict import predict_map, predict_outputs
from ssl3d.tasks.finetune.predicted import LABELS
from ssl3d.tasks.finetune.window_spec import WindowSpec
from ssl3d.tasks.predict.outputs import OutputTable
from ssl3d.tasks.predict.progress import CaseProgress
from ssl3d.tasks.predict.record import RECORD
from ssl3d.tasks.predict.runs import Models

MAP = ".nii.gz"


class Results:
    """Makes results, and knows which are there.

    Args:
        models: that predict.
        folder: of the predictions.
        windows: how they are taken.
    """

    def __init__(self, models: Models, *, folder: Path, windows: WindowSpec) -> None:
        self._models, self._folder, self._windows = models, folder, windows
        self._table: OutputTable | None = None
        if models.task.per == "case":
            self._table = OutputTable(folder, outputs=models.task.outputs())

    def file(self, name: str) -> Path:
        """What holds the result of a case."""
        return self._folder / (name + MAP) if self._table is None else self._table.path

    def has(self, name: str) -> bool:
        """True where a case is predicted already, the names of its labels included."""
        if self._table is not None:
            return name in self._table.rows
        return all(file.is_file() for file in self._files(name))

    def check_nobody_elses(self, new: Iterable[str]) -> None:
        """Refuse to write over what `predictions.json` does not know, such as a user's labels.

        Raises:
            ValueError: there is such a file.
        """
        for name in new:
            file = self.file(name)
            if name in self._table.rows if self._table is not None else file.exists():
                raise ValueError(
                    f"{file} is there already, and no {RECORD} beside it says that it was "
                    f"predicted from this input: give another folder"
                )

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
        """Predict a case and write the result; raises BadVolume where it cannot be used."""
        models, patch, windows = self._models.models, self._models.patch, self._windows
        prepared = prepare_on_grid(source, spec=self._models.preparation)
        if self._table is not None:
            outputs = predict_outputs(models, prepared, patch=patch, windows=windows)
            self._table.add(name, outputs.tolist())
            return
        file = self.file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        predict_map(models, prepared, patch=patch, windows=windows, file=file, done=progress.part)
