"""The same spec and seed give the same run: twice, resumed, and with any number of workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from run_folders import assert_same_weights, checkpoint, rows_without_time, training_rows, weights

import ssl3d
from ssl3d import ExperimentSpec

MakeSpec = Callable[..., ExperimentSpec]

# Masks at two levels with unequal counts, and a loss that samples sites.
RANDOM_PARTS: dict[str, Any] = {
    "masker": "mim",
    "losses": ["mse", {"name": "info_nce", "weight": 0.1, "samples": 8}],
}

THREE_LEVELS: dict[str, Any] = {
    "views": "mask_in_mask",
    "losses": ["mse", {"name": "info_nce", "between": "views", "negatives": "batch"}],
}
"""Of volumes that are smaller than the large crop: many views lie in none."""


def test_same_seed_same_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(**RANDOM_PARTS)
    torch.manual_seed(1)
    ssl3d.pretrain(spec, out=tmp_path / "a")
    torch.manual_seed(2)
    ssl3d.pretrain(spec, out=tmp_path / "b")
    assert rows_without_time(tmp_path / "a") == rows_without_time(tmp_path / "b")
    assert_same_weights(weights(tmp_path / "a", step=6), weights(tmp_path / "b", step=6))


def test_another_seed_is_another_run(make_spec: MakeSpec, tmp_path: Path) -> None:
    for seed in (0, 1):
        spec = make_spec(seed=seed, trainer={"steps": 1})
        ssl3d.pretrain(spec, out=tmp_path / str(seed))
    first, second = (training_rows(tmp_path / str(seed)) for seed in (0, 1))
    assert first[0]["train/loss"] != second[0]["train/loss"]


def test_global_random_state_is_left_alone(make_spec: MakeSpec, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    ssl3d.pretrain(make_spec(trainer={"steps": 2}), out=tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("accumulate", "parts"), [(1, RANDOM_PARTS), (2, RANDOM_PARTS), (1, THREE_LEVELS)]
)
def test_resume_equals_never_having_stopped(
    make_spec: MakeSpec, tmp_path: Path, accumulate: int, parts: dict[str, Any]
) -> None:
    """The end of the schedule stays where it is: the first run is stopped in its middle."""
    spec = make_spec(**parts, trainer={"accumulate": accumulate, "log_every": 2})
    ssl3d.pretrain(spec, out=tmp_path / "whole")
    ssl3d.pretrain(spec, out=tmp_path / "parts")
    # As after a crash behind step 3: the later checkpoint is gone, the rows of its steps are not.
    (tmp_path / "parts/checkpoints/step-000000006.ckpt").unlink()
    result = ssl3d.pretrain(spec, out=tmp_path / "parts", resume=True)
    assert result.step == 6
    assert rows_without_time(tmp_path / "whole") == rows_without_time(tmp_path / "parts")
    whole, parts = (checkpoint(tmp_path / name, step=6) for name in ("whole", "parts"))
    assert_same_weights(whole["state_dict"], parts["state_dict"])
    moments = [content["optimizer"]["state"] for content in (whole, parts)]
    for key, value in moments[0].items():
        assert torch.equal(value["exp_avg_sq"], moments[1][key]["exp_avg_sq"])
    counts = [content["ssl3d"]["samples"] for content in (whole, parts)]
    assert counts == [6 * accumulate * 2] * 2


@pytest.mark.parametrize(
    "backbone",
    [
        {"name": "waveformer", "widths": (8, 16), "depths": (2, 1), "heads": (1, 2)},
        {"name": "resunet", "widths": (4, 8), "blocks": (1, 2)},
    ],
    ids=lambda backbone: str(backbone["name"]),
)
def test_stochastic_depth_resumes_bitwise(
    make_spec: MakeSpec, tmp_path: Path, backbone: dict[str, Any]
) -> None:
    """What a step leaves out follows from the seed and its samples."""
    ends = []
    for drop_path in (0.5, 0.0):
        spec = make_spec(backbone={**backbone, "drop_path": drop_path}, cell=8)
        folder = tmp_path / str(drop_path)
        ssl3d.pretrain(spec, out=folder / "whole")
        ssl3d.pretrain(spec, out=folder / "parts")
        (folder / "parts/checkpoints/step-000000006.ckpt").unlink()
        ssl3d.pretrain(spec, out=folder / "parts", resume=True)
        assert rows_without_time(folder / "whole") == rows_without_time(folder / "parts")
        assert_same_weights(weights(folder / "whole", step=6), weights(folder / "parts", step=6))
        ends.append(training_rows(folder / "whole")[-1]["train/loss"])
    assert ends[0] != ends[1]


def test_workers_change_nothing(make_spec: MakeSpec, tmp_path: Path) -> None:
    for workers in (0, 2):
        spec = make_spec(data={"workers": workers}, trainer={"steps": 3})
        ssl3d.pretrain(spec, out=tmp_path / str(workers))
    assert rows_without_time(tmp_path / "0") == rows_without_time(tmp_path / "2")


def test_accumulated_steps_average_their_micro_batches(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Two micro-batches of 1 see the crops of one of 2, under masks of their own."""
    spec = make_spec(
        data={"batch_size": 1},
        trainer={"steps": 2, "accumulate": 2, "log_every": 1, "checkpoint_every": 1},
    )
    ssl3d.pretrain(spec, out=tmp_path / "a")
    assert [row["volumes"] for row in training_rows(tmp_path / "a")] == [2, 4]
    assert checkpoint(tmp_path / "a", step=1)["ssl3d"]["samples"] == 2
