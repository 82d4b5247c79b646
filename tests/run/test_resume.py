"""A run that was stopped and goes on is the run: the same bits."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import Toy, run

from ssl3d.run.checkpoint_file import read_checkpoint, write_checkpoint
from ssl3d.run.run_error import RunError

TIMES = ("volumes_per_second", "data_wait", "memory_gib")


def rows(folder: Path) -> list[dict[str, str]]:
    """Of the metrics, without what depends on the clock."""
    with (folder / "metrics.csv").open() as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIMES} for row in found]


def same(a: Any, b: Any) -> bool:
    """True where two nested values are the same to the bit, clocks apart."""
    if isinstance(a, dict):
        keys = [k for k in a if k not in ("seconds", "row_seconds")]
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in keys)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return bool(a == b)


RULES = {
    "adamw": {"ema": 0.9, "weight_decay_end": 0.5},
    "sgd": {"name": "sgd", "momentum": 0.9, "ema": 0.9},
    "lamb": {"name": "lamb"},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("workers", [0, 2])
def test_after_any_step(rule: str, workers: int, tmp_path: Path) -> None:
    """With accumulation, skipped steps, a moving average and means over several steps."""
    if rule == "lamb":
        pytest.importorskip("pytorch_optimizer")
    options: dict[str, Any] = {
        "steps": 5,
        "accumulate": 2,
        "log_every": 3,
        "validate_every": 2,
        "checkpoint_every": 1,
        "keep_checkpoints": 5,
        "optimizer": RULES[rule],
    }
    task = {"workers": workers, "bad": {11}}
    run(Toy(**task), tmp_path / "whole", **options)
    end = read_checkpoint(tmp_path / "whole/checkpoints/step-000000005.ckpt")
    for stop in (1, 2, 4) if workers == 0 else (3,):
        folder = tmp_path / f"from-{stop}"
        run(Toy(**task), folder, **options)
        for step in range(stop + 1, 6):
            (folder / f"checkpoints/step-{step:09d}.ckpt").unlink()
        run(Toy(**task), folder, resume=True, **options)
        assert same(read_checkpoint(folder / "checkpoints/step-000000005.ckpt"), end)
        assert rows(folder) == rows(tmp_path / "whole")


def test_a_finished_run_is_finished_again(tmp_path: Path) -> None:
    """As after a kill while it finished."""
    before = run(Toy(), tmp_path, steps=2, optimizer={"ema": 0.5})
    task = Toy()
    fitted = run(task, tmp_path, steps=2, resume=True, optimizer={"ema": 0.5})
    (weights, given), end = task.finished[0], read_checkpoint(fitted.checkpoint)
    assert given == fitted == before
    assert fitted.step == 2
    assert fitted.finished
    assert same(weights, end["average"]["weights"])
    assert not same(weights["weight"], end["state_dict"]["first.weight"])


def test_more_steps_and_another_device_count_may_be_given(tmp_path: Path) -> None:
    run(Toy(), tmp_path, steps=2)
    assert run(Toy(size=8), tmp_path, steps=4, resume=True).samples == 24


def test_a_new_run_does_not_take_over_another(tmp_path: Path) -> None:
    run(Toy(), tmp_path, steps=1)
    with pytest.raises(RunError, match="holds another run: resume it"):
        run(Toy(), tmp_path, steps=1)


def test_no_run_begins_in_the_metrics_of_another(tmp_path: Path) -> None:
    """As those of one that was ended before its first checkpoint."""
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("step,a\n5,1\n")
    with pytest.raises(RunError, match="holds another run: resume it"):
        run(Toy(), tmp_path, steps=1)
    assert metrics.read_text() == "step,a\n5,1\n"
    assert run(Toy(), tmp_path, steps=1, resume=True).finished


@pytest.mark.parametrize(
    ("now", "what"),
    [
        ({"name": "sgd"}, "optimizer.name: was 'adamw', is 'sgd'"),
        ({"betas": (0.5, 0.95)}, r"optimizer.betas.0: was 0.9, is 0.5"),
        ({"ema": 0.9}, "optimizer.ema: was None, is 0.9"),
        ({"seed": 2}, "seed: was 1, is 2"),
    ],
)
def test_another_rule_is_said(tmp_path: Path, now: dict[str, Any], what: str) -> None:
    path = run(Toy(), tmp_path, steps=1).checkpoint
    seed = now.pop("seed", 1)
    with pytest.raises(RunError, match=rf"{path} was trained by another rule:\n  {what}\nSet"):
        run(Toy(), tmp_path, steps=2, resume=True, optimizer=now, seed=seed)
    free = {"lr": 0.1, "min_lr": 0.01, "clip": 2.0}
    assert run(Toy(), tmp_path, steps=2, resume=True, optimizer=free).finished


def test_another_optimiser_is_said(tmp_path: Path) -> None:
    run(Toy(), tmp_path, steps=1)
    task = Toy()
    del task.module.last
    with pytest.raises(RunError, match="another model or optimiser"):
        run(task, tmp_path, steps=2, resume=True)


@pytest.mark.parametrize(("written", "message"), [(2, "an older version"), (4, "a newer version")])
def test_another_version_is_said(written: int, message: str, tmp_path: Path) -> None:
    path = run(Toy(), tmp_path, steps=1).checkpoint
    content = read_checkpoint(path)
    write_checkpoint(path, {**content, "ssl3d": {**content["ssl3d"], "format": written}})
    with pytest.raises(RunError, match=message):
        run(Toy(), tmp_path, steps=2, resume=True)


def test_a_task_begins_when_all_is_ready(tmp_path: Path) -> None:
    class Beginning(Toy):
        def begin(self, *, step: int) -> None:
            begun.append(step)

    begun: list[int] = []
    run(Beginning(), tmp_path, steps=2)
    run(Beginning(), tmp_path, steps=3, resume=True)
    (tmp_path / "metrics.csv").write_text("step,a\nnone,1\n2,3\n")
    with pytest.raises(RunError, match=r"metrics\.csv"):
        run(Beginning(), tmp_path, steps=4, resume=True)
    assert begun == [0, 2]
