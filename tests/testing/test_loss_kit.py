"""The kit for losses finds losses with one thing wrong."""

from __future__ import annotations

import random
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from ssl3d.kinds.loss import Loss
from ssl3d.kinds.loss_config import LossConfig, Need
from ssl3d.kinds.output import StepOutput, ViewOutput
from ssl3d.testing.loss import LossConformance

NONE: dict[str, Any] = {}
SOME, NOTHING = {"hidden": None}, {"hidden": False}
FOUND = [
    ("visible cells count", "visible_cells_do_not_count", NONE, "of visible cells changes"),
    ("padding counts", "padding_does_not_count", NONE, "of padding changes the loss"),
    ("divides by padding", "more_padding_changes_nothing", NONE, "more padding around them: diff"),
    (
        "other names",
        "nothing_hidden_or_everything_is_no_nan",
        {"everything": False},
        r"gives \['loss'\] where nothing is hidden, and \['cells', 'loss'\]",
    ),
    ("NaN", "nothing_hidden_or_everything_is_no_nan", {"everything": False}, "not finite"),
    (
        "never measurable",
        "measurable_says_where_there_is_something",
        SOME,
        "says: nothing, where half",
    ),
    (
        "always measurable",
        "measurable_says_where_there_is_something",
        NOTHING,
        "says: something, where noth",
    ),
    ("one for all", "measurable_says_where_there_is_something", SOME, r"of shape \(\) on"),
    ("one is left", "measurable_says_where_there_is_something", NOTHING, "the loss is 1, not 0"),
    ("draws", "randomness_comes_from_the_generator_alone", NONE, "says: draws = False"),
    ("torch's state", "randomness_comes_from_the_generator_alone", NONE, "that of torch"),
    ("Python's state", "randomness_comes_from_the_generator_alone", NONE, "that of Python"),
]


class BrokenConfig(LossConfig):
    name: Literal["broken"] = "broken"
    draws = False
    fault: str = ""

    def needs(self) -> frozenset[Need]:
        return frozenset({"restoration"})

    def build(self, **told: Any) -> Loss:
        return Broken(self, stages=told["stages"])


class Broken(Loss):
    """The mean squared error of the hidden voxels, with one thing wrong."""

    config: BrokenConfig

    def forward(self, step: StepOutput, *, generator: torch.Generator) -> dict[str, Tensor]:
        fault = self.config.fault
        values = step.mean(lambda view: self._view(view))
        if fault == "other names" and not step.batch.views[0].hidden.levels[0].any():
            del values["cells"]
        if fault == "draws":
            torch.rand((), generator=generator)
        if fault == "torch's state":
            torch.rand(())
        if fault == "Python's state":
            random.random()
        return values

    def _view(self, view: ViewOutput) -> dict[str, Tensor]:
        fault, batch = self.config.fault, view.batch
        assert batch.valid is not None
        squares = (view.prediction - batch.volume).square()[:, 0]
        counted = batch.valid & batch.hidden.voxels(batch.cells.cell)[0]
        if fault == "visible cells count":
            counted = batch.valid
        if fault == "padding counts":
            counted = torch.ones_like(counted)
        total = torch.where(counted, squares, 0).sum()
        count = torch.ones_like(counted) if fault == "divides by padding" else counted
        mean = total / count.sum().clamp(min=0 if fault == "NaN" else 1)
        return {"loss": mean + (fault == "one is left"), "cells": counted.sum().detach()}

    def measurable(self, step: StepOutput) -> Tensor:
        found = super().measurable(step)
        if self.config.fault == "one for all":
            return found.any()
        if self.config.fault in ("never measurable", "always measurable"):
            return torch.full_like(found, self.config.fault == "always measurable")
        return found


class TestWithoutAFault(LossConformance):
    config = BrokenConfig()


@pytest.mark.parametrize(
    ("fault", "check", "arguments", "reason"), FOUND, ids=[fault for fault, *_ in FOUND]
)
def test_what_is_wrong_is_found(
    fault: str, check: str, arguments: dict[str, Any], reason: str
) -> None:
    kit = LossConformance()
    kit.config = BrokenConfig(fault=fault)  # type: ignore[misc]
    with pytest.raises(AssertionError, match=reason):
        getattr(kit, f"test_{check}")(*[arguments] if arguments else [])
