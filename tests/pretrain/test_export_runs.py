"""Exports of runs that have ended, have not ended, or went on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from run_folders import checkpoint

import ssl3d
from ssl3d import ExperimentSpec

MakeSpec = Callable[..., ExperimentSpec]


@pytest.mark.parametrize("ema", [None, 0.5])
def test_a_run_without_an_encoder_yet(
    make_spec: MakeSpec, tmp_path: Path, ema: float | None
) -> None:
    """Its newest checkpoint has the same: the average where there is one."""
    run = tmp_path / "run"
    ssl3d.pretrain(make_spec(trainer={"steps": 3}, optimizer={"ema": ema}), out=run)
    ended = ssl3d.load_encoder(run).state_dict()
    for file in ("encoder.safetensors", "encoder.json"):
        (run / file).rename(tmp_path / file)
    done = ssl3d.export(run, to="encoder", out=tmp_path / "away")
    exported = ssl3d.load_encoder(done.out).state_dict()
    assert all(torch.equal(exported[name], value) for name, value in ended.items())
    assert (done.out / "encoder.json").read_text() == (tmp_path / "encoder.json").read_text()
    assert "newest checkpoint, step 3" in done.card["notes"][0]
    trained = checkpoint(run, step=3)["state_dict"]
    same = [torch.equal(trained[f"model.backbone.{n}"], v) for n, v in ended.items()]
    assert all(same) == (ema is None)


def test_a_checkpoint_that_is_newer_than_the_encoder_is_said(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    spec = make_spec(trainer={"steps": 3})
    ssl3d.pretrain(spec, out=run)
    (run / "checkpoints" / "step-000000003.ckpt").rename(
        run / "checkpoints" / "step-000000006.ckpt"
    )
    done = ssl3d.export(run, to="encoder")
    assert "of step 3; the run has a checkpoint of step 6" in done.card["notes"][0]


def test_a_run_that_has_not_saved_anything(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match="holds no encoder"):
        ssl3d.export(tmp_path, to="encoder")
