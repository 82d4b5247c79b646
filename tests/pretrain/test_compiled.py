"""A compiled run is the run, but for rounding, and goes on uncompiled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from run_folders import rows_without_time, weights
from torch import nn

from ssl3d import ExperimentSpec, pretrain

RES: dict[str, Any] = {"name": "resunet", "widths": [4, 8], "blocks": [1, 1]}


@pytest.mark.slow
def test_a_compiled_run(
    make_spec: Callable[..., ExperimentSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced as for any compiler; writing kernels, torch's own part, would take minutes here."""
    compiled = nn.Module.compile
    monkeypatch.setattr(
        nn.Module, "compile", lambda self, **named: compiled(self, backend="aot_eager", **named)
    )
    plain = make_spec(
        backbone=RES,
        data={"holdout": 0.0},
        trainer={"steps": 2, "log_every": 1, "checkpoint_every": 1},
    )
    pretrain(plain, out=tmp_path / "plain")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    pretrain(plain.with_values({"trainer.compile": True}), out=tmp_path / "compiled")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    rows = [rows_without_time(tmp_path / name) for name in ("plain", "compiled")]
    for mine, other in zip(*rows, strict=True):
        assert other == pytest.approx(mine, rel=1e-3, abs=1e-5)
    states = [weights(tmp_path / name, step=2) for name in ("plain", "compiled")]
    assert states[0].keys() == states[1].keys()
    (tmp_path / "compiled/checkpoints/step-000000002.ckpt").unlink()
    assert pretrain(plain, out=tmp_path / "compiled", resume=True).finished
