"""A fine-tuning run measures and predicts in the precision that it trains in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import ssl3d
from ssl3d import FinetuneSpec
from ssl3d.tasks.finetune.window_spec import WindowSpec
from ssl3d.tasks.finetune.windows_on import windows_on
from ssl3d.tasks.predict.windows import windows_of

MakeSpec = Callable[..., FinetuneSpec]


@pytest.mark.parametrize(("asked", "precision"), [("auto", "32"), ("bf16", "bf16")])
def test_windows_follow_training(
    make_spec: MakeSpec, tmp_path: Path, asked: str, precision: str
) -> None:
    spec = make_spec(trainer={"steps": 1, "precision": asked})
    assert spec.windows.precision == "auto"
    ssl3d.finetune(spec, out=tmp_path / "run")
    written = FinetuneSpec.load(tmp_path / "run" / "spec.yaml")
    assert (written.trainer.precision, written.windows.precision) == (precision, precision)
    model = json.loads((tmp_path / "run" / "model.json").read_text())
    assert model["windows"]["precision"] == precision
    (start,) = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert (start["precision"], start["tf32"]) == (precision, precision == "bf16")


def test_what_is_not_asked_for_is_as_the_runs_have_it() -> None:
    runs = [WindowSpec(precision="bf16")]
    for asked in (None, WindowSpec(batch=2), WindowSpec(precision="auto")):
        assert windows_of(runs, asked=asked, outputs=("a",)).precision == "bf16"
    assert windows_of(runs, asked=WindowSpec(precision="32"), outputs=("a",)).precision == "32"


def test_a_device_that_lacks_it_predicts_in_single_and_says_so() -> None:
    cpu = torch.device("cpu")
    for precision in ("32", "bf16", "auto"):
        windows = WindowSpec(precision=precision)  # type: ignore[arg-type]
        assert windows_on(cpu, windows=windows) == (windows, None)
    windows, said = windows_on(cpu, windows=WindowSpec(precision="16", overlap=0.25))
    assert windows == WindowSpec(precision="32", overlap=0.25)
    assert said == (
        "Predicting in single precision, not in 16 as the run: 16 needs a GPU; given a CPU: use 32 "
        "or bf16"
    )
