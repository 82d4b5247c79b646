"""A run on samples that lack channels, changed and seen unequally often, interrupted or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from run_folders import assert_same_weights, rows_without_time, weights

from ssl3d import ExperimentSpec, pretrain

NAMES = ("t1", "t2")


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """Six samples: every third lacks the second channel."""
    for case in range(6):
        for i, name in enumerate(NAMES[: 1 if case % 3 == 0 else 2]):
            values = np.random.default_rng(9 * case + i).normal(100, 20, (18, 16, 20))
            image = nibabel.Nifti1Image(values.astype(np.float32), np.eye(4))
            (tmp_path / "set").mkdir(exist_ok=True)
            nibabel.save(image, tmp_path / f"set/{case}_{name}.nii")
    return {
        "volumes": None,
        "channels": {name: str(tmp_path / f"set/*_{name}.nii") for name in NAMES},
        "missing_channels": "allow",
        "holdout": 0.5,
        "augment": {"share": 1, "rotate": 20, "gamma": 0.4, "noise": 0.1},
        "sampling": {"file": 1, "size": 1},
    }


def test_it_trains_measures_draws_and_goes_on(make_spec, data: dict[str, Any], tmp_path) -> None:
    def spec(steps: int) -> ExperimentSpec:
        trainer = {"steps": steps, "validate_every": 2, "checkpoint_every": 2, "pictures": 3}
        even = {"schedule": "constant", "warmup": 0.0}
        return make_spec(data=data, trainer=trainer, optimizer=even, target="voxels")

    whole = pretrain(spec(4), out=tmp_path / "whole")
    assert any("of 6 samples 2 lack t2: what is absent" in line for line in whole.warnings)
    held_out = {Path(name).name[0] for name in _held_out(tmp_path / "whole")}
    lacking = {case for case in held_out if int(case) % 3 == 0}
    assert lacking, "the split holds one out that lacks a channel"
    drawn = [*(tmp_path / "whole/pictures").glob("restored-*")]
    assert len(drawn) == 2 * len(held_out) - len(lacking)
    pretrain(spec(2), out=tmp_path / "parts")
    assert pretrain(spec(4), out=tmp_path / "parts", resume=True).finished
    rows = [rows_without_time(tmp_path / name) for name in ("whole", "parts")]
    assert rows[0] == rows[1]
    assert np.isfinite(rows[0][-1]["held_out/mse"])
    assert_same_weights(*(weights(tmp_path / name, step=4) for name in ("whole", "parts")))


def _held_out(out: Path) -> list[str]:
    lines = (out / "held_out.csv").read_text().splitlines()
    column = lines[0].split(",").index("volume")
    return [line.split(",")[column] for line in lines[1:]]
