"""Training steps as doctor tries them on a GPU, tried on a CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ssl3d.doctor import steps
from ssl3d.doctor.check import Wrong
from ssl3d.doctor.steps import TOLERANCES, step, step_checks
from ssl3d.plugin.declared import Registered
from ssl3d.plugin.registry import installed
from ssl3d_plugins.waveformer import WaveFormer


class Small(WaveFormer):
    """A backbone whose default options are small."""

    widths: tuple[int, ...] = (8, 16)
    depths: tuple[int, ...] = (1, 1)
    heads: tuple[int, ...] = (1, 2)


ENTRY = Registered(Small, "fake", "fake-plugin", "1.0")


@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_step_is_tried(precision: str) -> None:
    assert "off that on a CPU" in step(ENTRY, device="cpu", precision=precision)


def test_every_backbone_is_tried_in_both_precisions_and_one_compiled() -> None:
    names = [check.name for check in step_checks(device="cuda")]
    for name in installed().names("backbone"):
        assert {f"{name} in 32", f"{name} in bf16"} <= set(names)
    assert sum("compiled" in name for name in names) == 1
    assert {check.device for check in step_checks(device="cuda")} == {"cuda"}


@pytest.mark.parametrize(
    ("factor", "found"), [(1.1, "on a CPU"), (float("nan"), "no finite gradient")]
)
def test_a_wrong_step_is_found(monkeypatch: pytest.MonkeyPatch, factor: float, found: str) -> None:
    plain = steps._loss

    def off(*given: Any, **options: Any) -> torch.Tensor:
        loss = plain(*given, **options)
        return loss * factor if loss.requires_grad else loss

    monkeypatch.setattr(steps, "_loss", off)
    with pytest.raises(Wrong, match=found):
        step(ENTRY, device="cpu", precision="32")
