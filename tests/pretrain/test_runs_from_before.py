"""Runs that an older version began: what still goes on, and what is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ssl3d
from ssl3d import ExperimentSpec, RunError
from ssl3d.run.checkpoint_file import read_checkpoint

MakeSpec = Callable[..., ExperimentSpec]


def before_views(out: Path, *, masker: dict[str, Any] | None = None) -> None:
    """Make a run's spec and checkpoints what the version before views wrote."""
    values = json.loads((out / "spec.json").read_text(encoding="utf-8"))
    del values["views"]
    values["masker"] |= masker or {}
    (out / "spec.json").write_text(json.dumps(values), encoding="utf-8")
    for path in (out / "checkpoints").iterdir():
        content = torch.load(path, weights_only=True)
        content["ssl3d"]["format"] = 1
        torch.save(content, path)


@pytest.mark.parametrize("masker", [{}, {"passes": "single"}, {"passes": "nested"}])
def test_crops_and_masks_of_before_cannot_be_drawn_again(
    make_spec: MakeSpec, tmp_path: Path, masker: dict[str, Any]
) -> None:
    """Such a run does not go on; its encoder loads, and starts another one."""
    spec, old = make_spec(masker="mim", trainer={"steps": 1}), tmp_path / "old"
    ssl3d.pretrain(spec, out=old)
    before_views(old, masker=masker)
    message = rf"older version, whose crops and masks .* with init={old} to keep its encoder"
    with pytest.raises(RunError, match=message):
        ssl3d.pretrain(spec, out=old, resume=True)
    assert ssl3d.load_encoder(old)(torch.rand(1, 1, 16, 16, 16))[0].shape[1] == 8
    for init in (old, old / "checkpoints/step-000000001.ckpt"):
        again = make_spec(init=str(init), trainer={"steps": 1})
        ssl3d.pretrain(again, out=tmp_path / f"from {init.name}")


def test_a_checkpoint_says_how_its_run_draws(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Also where the spec beside it is one of today."""
    ssl3d.pretrain(make_spec(trainer={"steps": 1}), out=tmp_path)
    path = tmp_path / "checkpoints/step-000000001.ckpt"
    content = read_checkpoint(path)
    for number, message in ((1, "an older version, whose crops"), (9, "by a newer version, 9.9")):
        content["ssl3d"] |= {"format": number, "ssl3d": "9.9"}
        torch.save(content, path)
        with pytest.raises(RunError, match=message):
            ssl3d.pretrain(make_spec(trainer={"steps": 2}), out=tmp_path, resume=True)
