"""Files to compare, a run to measure, and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from evaluated_runs import AGES, KINDS, SEGMENTATION, labelled_set, spec_of
from rich.console import Console

from ssl3d import finetune
from ssl3d.cli import main


@pytest.fixture
def quiet() -> Console:
    """A console that prints nothing."""
    return Console(quiet=True)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run `ssl3d ARGUMENTS` in the test's folder: exit code, output, errors."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as leave:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(leave.value.code or 0), out, err

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write an array, x y z, as NIfTI."""

    def write(name: str, array: np.ndarray, *, affine: np.ndarray | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        affine = np.diag([1.0, 2.0, 3.0, 1.0]) if affine is None else affine
        nibabel.Nifti1Image(array, affine).to_filename(path)
        return path

    return write


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a set of 12 cases, and the runs `voxels`, `cases` and `ages` on it."""
    folder = tmp_path_factory.mktemp("runs")
    labelled_set(folder, cases=12)
    console = Console(quiet=True)
    voxels = spec_of(folder, task=SEGMENTATION, select="best", windows={"overlap": 0.25})
    # Long enough to prefer one label to another: what is predicted is kept in half precision.
    learned = voxels.with_values({"trainer.steps": 20, "optimizer.lr": 0.03})
    finetune(learned, out=folder / "voxels", console=console)
    cases = spec_of(folder, task=KINDS).with_values({"trainer.loggers": ["tensorboard"]})
    finetune(cases, out=folder / "cases", console=console)
    finetune(spec_of(folder, task=AGES), out=folder / "ages", console=console)
    return folder
