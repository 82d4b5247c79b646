"""Loggers, with the real libraries and without a network."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imsave
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ssl3d.folder import RunFolder
from ssl3d.run.loggers import Loggers, log_pictures, start_loggers
from ssl3d.run.run_error import RunError
from ssl3d.run.run_logger import flat

SPEC = {"optimizer": {"lr": 0.1, "ema": None}, "losses": ["mse", {"name": "l1"}], "seed": 0}


def needs(name: str) -> pytest.MarkDecorator:
    """Skips where a library is not installed: it is an extra that CI goes without."""
    lacking = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(lacking, reason=f"{name} is not installed: pip install {name}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run's, with a picture; nothing leaves this machine."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = RunFolder(tmp_path / "a run")
    made.pictures.mkdir(parents=True)
    imsave(made.pictures / "losses.png", np.random.default_rng(0).random((12, 16, 3)))
    return made


def log_a_run(folder: RunFolder, *names: str, steps: tuple[int, ...] = (10, 20)) -> None:
    """Everything that a run tells its loggers, the first of the steps being the next one."""
    said: list[str] = []
    last = steps[0] - 10
    with start_loggers(names, folder=folder, last_step=last, say=said.append) as loggers:
        loggers.parameters({**SPEC, "steps": steps[-1]})
        for step in steps:
            loggers.log({"train/loss": step / 10, "held_out/mse/trivial": float("nan")}, step)
        loggers.picture("losses", folder.pictures / "losses.png", steps[-1])
    assert said == []


def test_parameters_are_flat_and_plain() -> None:
    assert flat(SPEC) == {
        "optimizer.lr": 0.1,
        "optimizer.ema": "none",
        "losses": '["mse", {"name": "l1"}]',
        "seed": 0,
    }


def test_tensorboard(folder: RunFolder) -> None:
    log_a_run(folder, "tensorboard", steps=(10, 20, 30))
    log_a_run(folder, "tensorboard", steps=(30, 40))  # resumed from step 20
    events = EventAccumulator(str(folder.root / "tensorboard")).Reload()
    scalars = [(one.step, one.value) for one in events.Scalars("train/loss")]
    assert scalars == [(10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0)]
    assert [one.step for one in events.Images("losses")][-1] == 40
    plugins = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"optimizer.lr" in plugins
    assert not folder.loggers.exists()


@needs("wandb")
def test_wandb_offline(folder: RunFolder) -> None:
    for steps in ((10, 20), (30, 40)):
        log_a_run(folder, "wandb", steps=steps)
    identity = json.loads(folder.loggers.read_text())["wandb"]
    runs = sorted((folder.root / "wandb").glob(f"offline-run-*-{identity}"))
    assert len(runs) == 2  # `wandb sync` joins them: they have one name
    for run in runs:
        assert len([*run.glob("files/media/images/losses_*.png")]) == 1
    content = b"".join((run / f"run-{identity}.wandb").read_bytes() for run in runs)
    for text in (b"optimizer.lr", b"train/loss", b"held_out/mse/trivial"):
        assert text in content


@needs("mlflow")
def test_mlflow_in_the_folder(folder: RunFolder) -> None:
    for steps in ((10, 20), (30, 40)):
        log_a_run(folder, "mlflow", steps=steps)
    identity = json.loads(folder.loggers.read_text())["mlflow"]
    database = sqlite3.connect(folder.root / "mlflow/mlflow.db")
    metrics = database.execute(
        "select step, value, is_nan from metrics where run_uuid = ? and key = 'train/loss' "
        "order by step",
        [identity],
    )
    assert metrics.fetchall() == [(10, 1.0, 0), (20, 2.0, 0), (30, 3.0, 0), (40, 4.0, 0)]
    parameters = dict(database.execute("select key, value from params").fetchall())
    assert parameters["optimizer.lr"] == "0.1"
    assert parameters["steps"] == "20"  # MLflow changes none
    assert database.execute("select name, status from runs").fetchall() == [("a run", "FINISHED")]
    database.close()
    assert len([*folder.root.glob("mlflow/artifacts/*/artifacts/pictures/losses.png")]) == 1
    assert not Path("mlruns").exists()


@needs("wandb")
@needs("mlflow")
def test_several_at_once(folder: RunFolder) -> None:
    log_a_run(folder, "tensorboard", "wandb", "mlflow", "tensorboard")
    assert {"tensorboard", "wandb", "mlflow"} <= {path.name for path in folder.root.iterdir()}
    log_pictures(
        [folder.pictures / "losses.png"], loggers=["wandb", "mlflow"], folder=folder, step=20
    )


def test_an_unknown_one_is_one_message(folder: RunFolder) -> None:
    said = r"unknown 'tensorbord'. Did you mean 'tensorboard'\? Allowed: tensorboard, wandb, mlflow"
    with pytest.raises(RunError, match=said):
        start_loggers(["tensorbord"], folder=folder)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("wandb", "lightning.pytorch.loggers.wandb._WANDB_AVAILABLE"),
        ("mlflow", "lightning.pytorch.loggers.mlflow._MLFLOW_AVAILABLE"),
    ],
)
def test_one_that_is_not_installed_is_one_message(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    monkeypatch.setattr(place, False)
    with pytest.raises(RunError, match=f"pip install {name}"):
        start_loggers([name], folder=folder)


def test_one_that_does_not_start_is_one_message(folder: RunFolder) -> None:
    (folder.root / "tensorboard").write_text("in the way")
    with pytest.raises(RunError, match=r"trainer\.loggers: tensorboard does not start: .*Mend"):
        start_loggers(["tensorboard"], folder=folder)
    said: list[str] = []
    picture = folder.pictures / "losses.png"
    log_pictures([picture], loggers=["tensorboard"], folder=folder, step=1, say=said.append)
    assert len(said) == 1
    assert said[0].startswith(f"Pictures are in {folder.pictures} only: ")


def test_other_ranks_log_nothing(folder: RunFolder) -> None:
    with start_loggers(["tensorboard"], folder=folder, main=False) as loggers:
        loggers.log({"a": 1.0}, 1)
    assert not (folder.root / "tensorboard").exists()


class Fails:
    """A logger whose server goes away."""

    def __init__(self) -> None:
        self.calls = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        def fail(*given: object) -> None:  # noqa: ARG001
            self.calls += 1
            raise ConnectionError("no route to host\nand much more")

        return fail


class Counts(Fails):
    """A logger that works."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def count(*given: object) -> None:  # noqa: ARG001
            self.calls += 1

        return count


def test_one_that_fails_is_left_out_and_the_others_go_on() -> None:
    said: list[str] = []
    broken, good = Fails(), Counts()
    loggers = {"wandb": broken, "tensorboard": good}
    with Loggers(loggers, say=said.append) as told:  # type: ignore[arg-type]
        for step in range(3):
            told.log({"a": 1.0}, step)
    assert (broken.calls, good.calls) == (1, 4)
    assert said == [
        "The logger wandb has failed and is left out from here on: no route to host. metrics.csv "
        "has every number"
    ]


def test_a_damaged_list_of_runs_is_named(folder: RunFolder) -> None:
    folder.loggers.write_text("{")
    with pytest.raises(RunError, match=r"loggers\.json cannot be read any more: .*Remove it"):
        start_loggers(["tensorboard"], folder=folder)
