"""The loggers that a spec names, several at once, beside the run's own `metrics.csv`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl3d.files import write_json
from ssl3d.folder import RunFolder
from ssl3d.plugin.registry import did_you_mean
from ssl3d.run.log_mlflow import MLflow
from ssl3d.run.log_tensorboard import TensorBoard
from ssl3d.run.log_wandb import WeightsAndBiases
from ssl3d.run.run_error import RunError
from ssl3d.run.run_logger import RunLogger, flat

NAMES = ("tensorboard", "wandb", "mlflow")


class Loggers:
    """Tells all of them. One that fails, as a server may, is left out from there on and said: no
    run ends for it, since `metrics.csv` has every number.

    Args:
        loggers: by name.
        say: takes a line for the user.
    """

    def __init__(
        self, loggers: Mapping[str, RunLogger], *, say: Callable[[str], None] = print
    ) -> None:
        self._loggers, self._say = dict(loggers), say

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Numbers of a step, by column."""
        self._tell(lambda one: one.log(numbers, step))

    def picture(self, name: str, path: Path, step: int) -> None:
        """A picture of a step, from its file."""
        self._tell(lambda one: one.picture(name, path, step))

    def parameters(self, values: Mapping[str, Any]) -> None:
        """The hyper-parameters of the run: a spec in plain values."""
        self._tell(lambda one: one.parameters(flat(values)))

    def close(self) -> None:
        """Write what is held back, and end."""
        self._tell(lambda one: one.close())

    def __enter__(self) -> Loggers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _tell(self, what: Callable[[RunLogger], None]) -> None:
        for name, one in [*self._loggers.items()]:
            try:
                what(one)
            except Exception as error:  # whatever a library or a server answers
                del self._loggers[name]
                self._say(
                    f"The logger {name} has failed and is left out from here on: {_line(error)}. "
                    "metrics.csv has every number"
                )


def start_loggers(
    names: Iterable[str],
    *,
    folder: RunFolder,
    last_step: int = 0,
    main: bool = True,
    say: Callable[[str], None] = print,
) -> Loggers:
    """The loggers that a spec asks for by name, ready to take something.

    Those that keep runs elsewhere go on with the one that `loggers.json` names.

    Args:
        names: `tensorboard`, `wandb` or `mlflow`.
        folder: where they write.
        last_step: of the checkpoint that is resumed; what was logged after it is dropped where
            the logger can do so.
        main: False on the other ranks of a run, which log nothing.
        say: takes a line for the user.

    Raises:
        RunError: a name is unknown, a logger's library is not installed, or it does not start.
    """
    return Loggers(_begun(names, folder=folder, last_step=last_step) if main else {}, say=say)


def log_pictures(
    pictures: Sequence[Path],
    *,
    loggers: Iterable[str],
    folder: RunFolder,
    step: int,
    say: Callable[[str], None] = print,
) -> None:
    """Give the finished pictures of a run to its loggers; one that does not start is said."""
    if not pictures:
        return
    try:
        started = start_loggers(loggers, folder=folder, last_step=step, say=say)
    except RunError as error:
        say(f"Pictures are in {folder.pictures} only: {error}")
        return
    with started:
        for path in pictures:
            started.picture(path.stem, path, step)


def _begun(names: Iterable[str], *, folder: RunFolder, last_step: int) -> dict[str, RunLogger]:
    """Loggers by name, each once; those that keep runs elsewhere are noted in the folder."""
    found: dict[str, RunLogger] = {}
    known = _identities(folder)
    for name in dict.fromkeys(names):
        one = _make(name, folder=folder, last_step=last_step, identity=known.get(name))
        try:
            one.begin()
        except Exception as error:  # whatever a library or a server answers
            raise RunError(
                f"trainer.loggers: {name} does not start: {_line(error)}. Mend that, or leave it "
                f"out ({folder.loggers.name} has the name of the run that it goes on with)"
            ) from error
        found[name] = one
    new = {name: one.identity for name, one in found.items() if one.identity is not None}
    if not new.items() <= known.items():
        write_json(folder.loggers, known | new)
    return found


def _make(
    name: str, *, folder: RunFolder, last_step: int, identity: str | None = None
) -> RunLogger:
    try:
        if name == "tensorboard":
            return TensorBoard(folder, last_step=last_step)
        if name == "wandb":
            return WeightsAndBiases(folder, identity=identity)
        if name == "mlflow":
            return MLflow(folder, identity=identity)
    except ModuleNotFoundError as error:
        raise RunError(
            f"trainer.loggers: {name!r} needs a library that is not installed: pip install {name}, "
            "or remove it"
        ) from error
    raise RunError(
        f"trainer.loggers: unknown {name!r}.{did_you_mean(name, NAMES)} Allowed: "
        f"{', '.join(NAMES)}; metrics.csv is always written"
    )


def _identities(folder: RunFolder) -> dict[str, str]:
    """Name of a logger to that of the run which it keeps elsewhere."""
    try:
        found: dict[str, str] = json.loads(folder.loggers.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise RunError(
            f"{folder.loggers} cannot be read any more: {error}. Remove it: loggers begin new runs "
            "then"
        ) from error
    return found


def _line(error: Exception) -> str:
    """The first line of what an error says."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
