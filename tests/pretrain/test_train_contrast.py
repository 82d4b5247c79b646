"""A run whose only loss contrasts features: nothing is restored, and everything says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from run_folders import assert_same_weights, rows_without_time, weights

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.tasks.pretrain.result import RunResult
from ssl3d.tasks.pretrain.summary import print_summary, summarise

MakeSpec = Callable[..., ExperimentSpec]
CONTRAST: dict[str, Any] = {"losses": ["info_nce"]}
CONSTANT = {"schedule": "constant", "warmup": 0.0}
"""A learning rate that does not depend on the number of steps."""


def pretrain(spec: ExperimentSpec, out: Path, **options: Any) -> tuple[RunResult, str]:
    """The result, and what was printed."""
    console = Console(record=True, width=200)
    result = ssl3d.pretrain(spec, out=out, console=console, **options)
    return result, console.export_text()


def test_a_run_without_a_restoration(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(trainer={"pictures": 2}, **CONTRAST)
    assert not spec.restores
    result, text = pretrain(spec, tmp_path / "a")
    assert "No loss needs a restored volume: there is no decoder" in text
    assert "held out" in text  # in the lines of progress
    assert "None" not in text
    assert "Held-out restoration loss" not in text
    assert f"Held-out loss after 6 steps: {result.held_out['loss']:.4f}. No loss" in text
    assert (result.held_out_loss, result.trivial_loss) == (None, None)
    assert [path.name for path in result.pictures] == ["losses.png"]
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert (summary["held_out_loss"], summary["trivial_loss"]) == (None, None)
    assert set(summary["held_out"]) == {
        "loss",
        "info_nce",
        "info_nce/top1",
        "rank/stage0",
        "rank/stage1",
    }
    (facts,) = json.loads((tmp_path / "a" / "environment.json").read_text())
    assert not any(name.startswith("decoder/") for name in facts["plugins"])
    saved = weights(tmp_path / "a", step=6)
    assert not any("decoder" in name for name in saved)
    encoder = ssl3d.load_encoder(tmp_path / "a")
    assert encoder(torch.rand(1, 1, 16, 16, 16))[0].shape == (1, 8, 8, 8, 8)
    pretrain(make_spec(init=str(tmp_path / "a")), tmp_path / "next")


def test_it_resumes_bitwise(make_spec: MakeSpec, tmp_path: Path) -> None:
    pretrain(make_spec(trainer={"steps": 3}, optimizer=CONSTANT, **CONTRAST), tmp_path / "parts")
    whole = make_spec(optimizer=CONSTANT, **CONTRAST)
    pretrain(whole, tmp_path / "once")
    pretrain(whole, tmp_path / "parts", resume=True)
    pairs = [weights(tmp_path / name, step=6) for name in ("once", "parts")]
    assert_same_weights(*pairs)
    rows = [rows_without_time(tmp_path / name) for name in ("once", "parts")]
    assert rows[0][-1] == rows[1][-1]


def test_the_summary_says_that_there_is_no_decoder(make_spec: MakeSpec) -> None:
    console = Console(record=True, width=200)
    print_summary(make_spec(**CONTRAST), console=console)
    assert "none: no loss needs a restoration" in console.export_text()
    assert summarise(make_spec(**CONTRAST)).decoder == 0
    assert summarise(make_spec()).decoder > 0
