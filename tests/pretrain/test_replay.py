"""A step of pre-training that is not finite is skipped, captured and taken again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.run.replay import described
from ssl3d.run.run_error import RunError
from ssl3d.tasks.pretrain.module import PretrainModule
from ssl3d.tasks.pretrain.replay import replay_step


def test_the_operation_at_fault_is_named(
    make_spec: Callable[..., ExperimentSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = PretrainModule.forward

    def poisoned(self: PretrainModule, batch: Any) -> dict[str, Tensor]:
        found = forward(self, batch)
        if 2 in batch.samples:  # the second step
            weight = self.model.backbone.parameters().__next__()
            found["loss"] = found["loss"] + (0 * weight.sum()).sqrt()
        return found

    monkeypatch.setattr(PretrainModule, "forward", poisoned)
    result = ssl3d.pretrain(make_spec(trainer={"steps": 3}), out=tmp_path / "run")
    assert result.finished
    assert any("Step 2 was skipped" in text for text in result.warnings)
    path = tmp_path / "run/faults/step-000000002"
    (found,) = replay_step(path)
    assert torch.tensor(found.numbers["loss"]).isfinite()
    assert "model.backbone" in found.not_finite[0]
    assert "MulBackward0" in described(found)
    for device in ("cuda:99", "sofa"):
        with pytest.raises(RunError, match=f"device: {device} cannot be computed on"):
            next(replay_step(path, device=device))
    batches = path / "batches-0.pt"
    whole = batches.read_bytes()
    for content in (whole[:-100], b"", whole.replace(b"ViewBatch", b"OtherType")):
        batches.write_bytes(content)
        with pytest.raises(RunError, match=r"batches-0\.pt cannot be read") as caught:
            next(replay_step(path))
        assert "weights_only" not in str(caught.value)
    batches.unlink()
    with pytest.raises(RunError, match="has no batches of the step"):
        next(replay_step(path))
