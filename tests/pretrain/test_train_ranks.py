"""Two processes train as one with the double batch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from run_folders import rows_without_time, weights

import ssl3d
from ssl3d import ExperimentSpec

MakeSpec = Callable[..., ExperimentSpec]

SCRIPT = """
import sys, torch, ssl3d
torch.set_num_threads(1)
spec = ssl3d.ExperimentSpec.load(sys.argv[1])
result = ssl3d.pretrain(spec, out=sys.argv[2], resume=sys.argv[3] == "resume")
print(result.finished, result.step)
"""


TRAINER = {"steps": 3, "validate_every": 1, "log_every": 1, "devices": 2, "strategy": "ddp"}


def run_two(spec: ExperimentSpec, folder: Path, *, how: str = "anew") -> None:
    """Run a spec of two ranks into `two`, anew or to `resume`."""
    (folder / "run.py").write_text(SCRIPT)
    (folder / "spec.json").write_text(spec.to_json())
    done = subprocess.run(
        [sys.executable, "run.py", "spec.json", "two", how],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("True") == 2, done.stdout


@pytest.mark.slow
def test_two_ranks_need_no_loss_that_restores(make_spec: MakeSpec, tmp_path: Path) -> None:
    """A decoder without gradients would stop them; here there is none."""
    run_two(make_spec(data={"batch_size": 1}, trainer=TRAINER, losses=["info_nce"]), tmp_path)
    rows = rows_without_time(tmp_path / "two")
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert all("held_out/info_nce" in row for row in rows)
    assert all("train/info_nce" in row for row in rows[1:])


PARTS: dict[str, dict[str, Any]] = {
    "mim": {"masker": "mim"},
    "three levels": {
        "views": "mask_in_mask",
        "data": {"patch": 8},
        "losses": ["mse", {"name": "info_nce", "between": "views", "negatives": "batch"}],
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_two_ranks_equal_one_with_the_double_batch(
    make_spec: MakeSpec, tmp_path: Path, name: str
) -> None:
    """Crops, masks, losses, batch norm of the decoder and gradients are those of one process."""
    # AdamW would make whole steps of gradients that are nothing but rounding.
    parts = {**PARTS[name], "optimizer": {"name": "sgd", "lr": 0.03}}
    data = parts.pop("data", {})
    data_of_two = {"batch_size": 1, "workers": 1, **data}
    run_two(make_spec(data=data_of_two, trainer=TRAINER, **parts), tmp_path)
    alone = {**TRAINER, "devices": 1, "strategy": "auto", "checkpoint_every": 1}
    ssl3d.pretrain(make_spec(data=data, trainer=alone, **parts), out=tmp_path / "one")
    rows = zip(
        rows_without_time(tmp_path / "two"), rows_without_time(tmp_path / "one"), strict=True
    )
    for mine, theirs in rows:
        assert mine == pytest.approx(theirs, rel=1e-4)
    two, one, before = (
        weights(tmp_path / run, step=step) for run, step in (("two", 3), ("one", 3), ("one", 1))
    )
    for name, weight in two.items():
        torch.testing.assert_close(weight, one[name], rtol=1e-3, atol=1e-4, msg=name)
    moved = [name for name in one if not torch.allclose(one[name], before[name], rtol=0, atol=1e-3)]
    assert len(moved) > len(one) / 4, "steps are larger than what is allowed"


@pytest.mark.slow
def test_means_after_a_resume_are_those_of_all_ranks(make_spec: MakeSpec, tmp_path: Path) -> None:
    """A row whose first steps were taken before the stop is as it would have been."""
    trainer = {**TRAINER, "log_every": 3, "checkpoint_every": 2}
    spec = make_spec(data={"batch_size": 1}, trainer=trainer)
    run_two(spec, tmp_path)
    before = rows_without_time(tmp_path / "two")
    (tmp_path / "two/checkpoints/step-000000003.ckpt").unlink()
    run_two(spec, tmp_path, how="resume")
    assert rows_without_time(tmp_path / "two") == before
