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
    run(Toy(), tmp_path, steps=2, optimizer={"ema": 0.5})
    task = Toy()
    fitted = run(task, tmp_path, steps=2, resume=True, optimizer={"ema": 0.5})
    (weights, given), end = task.finished[0], read_checkpoint(fitted.checkpoint)
    assert given == fitted
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


def test_another_optimiser_is_said(tmp_path: Path) -> None:
    run(Toy(), tmp_path, steps=1)
    task = Toy()
    del task.module.last
    with pytest.raises(RunError, match="another model or optimiser"):
        run(task, tmp_path, steps=2, resume=True)


def test_a_checkpoint_of_the_trainer_goes_on(tmp_path: Path) -> None:
    """Of an older version, written by Lightning."""
    options: dict[str, Any] = {"steps": 4, "log_every": 4, "optimizer": {"ema": 0.9}}
    keep = {"checkpoint_every": 2, "keep_checkpoints": 9}
    run(Toy(), tmp_path, **options, **keep)
    last, path = (tmp_path / f"checkpoints/step-00000000{step}.ckpt" for step in (4, 2))
    end, now = read_checkpoint(last), read_checkpoint(path)
    last.unlink()
    done, average, means = now["ssl3d"], now["average"], now["means"]
    weights = {f"module.{name}": value for name, value in average["weights"].items()}
    older = {
        "ssl3d": {k: v for k, v in done.items() if not k.startswith("row")} | {"format": 1},
        "state_dict": now["state_dict"],
        "optimizer_states": [now["optimizer"]],
        "callbacks": {
            "EncoderAverage": {"average": {"n_averaged": torch.tensor(2), **weights}},
            "Metrics": {
                **{
                    part: {
                        name: torch.tensor(value).double() for name, value in means[part].items()
                    }
                    for part in ("sums", "shares")
                },
                "empty": torch.tensor(0),
                "samples_before": 0,
                "seconds_before": 0.0,
            },
        },
    }
    torch.save(older, path)
    with pytest.warns(UserWarning, match="older version"):
        run(Toy(), tmp_path, resume=True, **options)
    assert same(read_checkpoint(last)["optimizer"], end["optimizer"])
    assert same(read_checkpoint(last)["average"], end["average"])
    (row,) = [row for row in rows(tmp_path) if row.get("train/loss")]
    assert float(row["train/loss"]) > 0


def test_a_newer_version_is_said(tmp_path: Path) -> None:
    path = run(Toy(), tmp_path, steps=1).checkpoint
    content = read_checkpoint(path)
    write_checkpoint(path, {**content, "ssl3d": {**content["ssl3d"], "format": 3}})
    with pytest.raises(RunError, match="newer version of ssl3d"):
        run(Toy(), tmp_path, steps=2, resume=True)
