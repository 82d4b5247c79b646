"""`ssl3d pretrain`: a real run of a few steps, and what a user may get wrong."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from command import Command

from ssl3d import load_encoder

SPEC = """
backbone: {name: waveformer, widths: [8, 16], depths: [1, 1], heads: [1, 2], positions: none}
data:
  volumes: scans
  patch: 16
  workers: 0
  cache: {folder: cache}
trainer: {steps: 2, log_every: 1, validate_every: 2, checkpoint_every: 1, pictures: 1}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: a spec and four small volumes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    (tmp_path / "scans").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        values = rng.normal(size=(20, 18, 16 + i)).astype(np.float32).cumsum(0)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / f"scans/scan{i}.nii.gz")
    return tmp_path


def test_from_files_to_an_encoder_and_on(ssl3d: Command, folder: Path) -> None:
    done = ssl3d("pretrain", "spec.yaml", "--out", "runs/a")
    assert done.code == 0, done.err
    assert "trivial prediction, same patches" in done.out
    run = folder / "runs" / "a"
    for picture in (run / "pictures").iterdir():
        assert str(picture.relative_to(folder)) in done.out
    assert load_encoder(run) is not None

    again = ssl3d("pretrain", "spec.yaml", "--out", "runs/a")
    assert again.code == 2
    assert "runs/a holds another run" in again.err

    done = ssl3d("pretrain", "spec.yaml", "--out", "runs/a", "--resume", "--set", "trainer.steps=3")
    assert done.code == 0, done.err
    with (run / "metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]
    assert json.loads((run / "spec.json").read_text())["trainer"]["steps"] == 3


def test_other_files_are_refused_until_they_are_accepted(ssl3d: Command, folder: Path) -> None:
    assert ssl3d("pretrain", "spec.yaml", "--out", "run").code == 0
    shutil.copyfile(folder / "scans/scan0.nii.gz", folder / "scans/scan9.nii.gz")
    more = ("pretrain", "spec.yaml", "--out", "run", "--resume", "--set", "trainer.steps=3")
    done = ssl3d(*more)
    assert done.code == 2
    assert "added (training): " in done.err
    assert "scan9.nii.gz\n" in done.err
    assert "--accept-changed-data" in done.err
    done = ssl3d(*more, "--accept-changed-data")
    assert done.code == 0, done.err
    assert "Going on with other files than before:\n  added (training): " in done.out
    assert "on 4 volumes, 1 held out" in done.out


def test_a_dry_run_tells_and_writes_nothing(ssl3d: Command, folder: Path) -> None:
    (folder / "scans/broken.nii").write_bytes(b"nothing")
    before = sorted(folder.rglob("*"))
    done = ssl3d("pretrain", "spec.yaml", "--dry-run", "--set", "masker={name: mim}")
    assert done.code == 0, done.err
    for words in ("name: mim", "global_ratio", "parameters", "4 × 4 × 4 voxels", "memory"):
        assert words in done.out
    text = " ".join(done.out.split())
    assert "samples │ 5 found, 4 usable by their headers" in text
    assert "left out │ scans/broken.nii: cannot be read" in text
    assert "split │ 3 to train on, 1 held out" in text
    assert "spacing │ 1 × 1 × 1 mm" in text
    assert "size │ 16 to 19 (median 17.5) × 18 × 20 voxels in the files" in text
    assert "time of a step" not in text
    assert sorted(folder.rglob("*")) == before


def test_a_dry_run_looks_at_resampling_and_groups(ssl3d: Command) -> None:
    done = ssl3d(
        "pretrain", "spec.yaml", "--dry-run", "--set", "data.spacing=[2, 1, 0.5]",
        "--set", "data.group_by='(scan)'",
    )  # fmt: skip
    assert done.code == 0, done.err
    text = " ".join(done.out.split())
    assert "to 2 × 1 × 0.5 mm: 8 to 10 (median 9.5) × 18 × 39 voxels" in text
    assert "4 to train on, 0 held out, in 1 groups" in text


def test_a_dry_run_without_data_says_what_a_run_would(ssl3d: Command, folder: Path) -> None:
    shutil.rmtree(folder / "scans")
    done = ssl3d("pretrain", "spec.yaml", "--dry-run")
    assert done.code == 2
    assert "parameters" in done.out
    assert done.err.startswith("Error: data: there is no file 'scans'")
    assert [path.name for path in folder.iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize("option", ["--resume", "--accept-changed-data"])
def test_a_dry_run_shows_a_new_run_alone(ssl3d: Command, option: str) -> None:
    done = ssl3d("pretrain", "spec.yaml", "--dry-run", option)
    assert done.code == 2
    assert "leave out --resume and" in " ".join(done.err.split())


def test_a_dry_run_measures_the_time_of_a_step(ssl3d: Command) -> None:
    done = ssl3d("pretrain", "spec.yaml", "--dry-run", "--time", "--set", "trainer.steps=1000")
    assert done.code == 0, done.err
    assert re.search(
        r"time of a step .* s on one device \(cpu\), .* hours for 1000 steps", done.out
    )
    done = ssl3d("pretrain", "spec.yaml", "--out", "run", "--time")
    assert done.code == 2
    assert "goes with --dry-run" in done.err


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_dry_run_on_a_small_and_plain_terminal(encoding: str) -> None:
    environment = {
        **os.environ,
        "COLUMNS": "40",
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": encoding,
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ssl3d", "pretrain", "spec.yaml", "--dry-run"),
            *("--set", "data.cache.folder=':smile: [red]'"),
        ],
        env=environment,
        capture_output=True,
        check=False,
    )
    out = done.stdout.decode(encoding)
    assert done.returncode == 0, done.stderr
    assert ("4 × 4 × 4" if encoding != "ascii" else "4 x 4 x 4") in out
    assert "folder: ':smile: [red]'" in out
    assert "3 to train on" in out
    table = out[out.index("encoder") :]
    assert max(map(len, table.splitlines()[-20:])) <= 40


def test_values_are_set_as_yaml(ssl3d: Command) -> None:
    settings = ["optimizer.lr=1e-4", "losses=[mse, {name: l1, weight: 0.5}]", "data.spacing=1.5"]
    done = ssl3d(
        "pretrain", "spec.yaml", "--dry-run", *(f"--set={setting}" for setting in settings)
    )
    assert done.code == 0, done.err
    assert "lr: 0.0001" in done.out
    assert "- name: l1\n  weight: 0.5" in done.out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["optimizer.lr"], "--set: given 'optimizer.lr'; must be PATH=VALUE"),
        (["=3"], "--set: given '=3'; must be PATH=VALUE"),
        (["optimizer.lr=[1"], "optimizer.lr: not readable as YAML: line 1: "),
        (
            ["masker={name: mim, name: mim}"],
            "masker: not readable as YAML: line 1: 'name' is given",
        ),
        (["optimizer.lr=1e-4", "optimizer.lr=1e-3"], "optimizer.lr: set twice: give one value"),
        (["seed=true"], "seed: given True; must be a number, not true or false"),
        (["data.patch=1000000000000"], "data.patch: given 1000000000000; must be at most"),
        (["backbone.preset=paper", "backbone.ffn=conv"], "backbone: preset 'paper' has ffn"),
        (["trainer.devices=0"], "trainer.devices: given 0; must be a number from 1, or -1 for all"),
        (["optimizer.lr=fast"], "optimizer.lr: given 'fast'; must be a valid number"),
        (["optimiser.lr=1"], "optimiser: unknown option. Did you mean 'optimizer'?"),
        (["masker=mimm"], "masker: unknown masker 'mimm'. Did you mean 'mim'? Installed: "),
        (["data.patch=18"], "data.patch: given 18 × 18 × 18 voxels; must be a multiple of"),
        (["cell=6"], "cell: given 6 × 6 × 6 voxels; must be a multiple of"),
        (["data.volumes=nowhere"], "nowhere"),
        (["data.volumes=cache"], "cache"),
    ],
)
def test_a_wrong_value_is_one_message_and_leaves_no_run(
    ssl3d: Command, folder: Path, settings: list[str], message: str
) -> None:
    (folder / "cache").mkdir()
    options = [f"--set={setting}" for setting in settings]
    done = ssl3d("pretrain", "spec.yaml", "--out", "run", *options)
    assert done.code == 2
    assert done.err.startswith("Error: ")
    assert message in done.err
    assert "Traceback" not in done.err
    assert ssl3d("pretrain", "spec.yaml", "--out", "run", "--dry-run").code == 0
    assert not (folder / "run" / "spec.json").exists()


def test_nothing_to_resume(ssl3d: Command) -> None:
    done = ssl3d("pretrain", "spec.yaml", "--out", "run", "--resume")
    assert done.code == 2
    assert "run holds no run to resume" in done.err


def test_a_file_in_the_way(ssl3d: Command) -> None:
    done = ssl3d("pretrain", "spec.yaml", "--out", "spec.yaml")
    assert done.code == 2
    assert "spec.yaml is a file" in done.err


@pytest.mark.parametrize("name", ["none.yaml", "scans"])
def test_a_spec_that_is_no_file(ssl3d: Command, name: str) -> None:
    done = ssl3d("pretrain", name, "--out", "run")
    assert done.code == 2
    assert f"{name}: no such file: give a .py, .yaml or .json file" in done.err


def test_ctrl_c_saves_and_ends_with_130(ssl3d: Command, folder: Path) -> None:
    command = [sys.executable, "-m", "ssl3d", "pretrain", "spec.yaml", "--out", "run"]
    process = subprocess.Popen(
        [*command, "--set=trainer.steps=100000", "--set=trainer.validate_every=100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not list(folder.glob("run/checkpoints/step-*.ckpt")):
            assert process.poll() is None, process.communicate()[1]
            _wait(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "--resume" in out
    with (folder / "run" / "metrics.csv").open() as file:
        step = int(list(csv.DictReader(file))[-1]["step"])
    done = ssl3d(
        "pretrain", "spec.yaml", "--out", "run", "--resume", f"--set=trainer.steps={step + 1}"
    )
    assert done.code == 0, done.err
    assert load_encoder(folder / "run") is not None


def _wait(process: subprocess.Popen[str]) -> None:
    """A tenth of a second, or less where the process ends."""
    try:
        process.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return
