"""Every group of options has one base, and with it the same rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ssl3d import ExperimentSpec
from ssl3d.data.intensity_spec import CTWindow
from ssl3d.data.spec import CacheSpec
from ssl3d.plugin.option import parts_of
from ssl3d.plugin.registry import installed
from ssl3d.plugin.section import Section
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d_plugins.monai_encoders.segresnet_options import SegResNet


def groups() -> Iterator[type[BaseModel]]:
    configs = [entry.config for entry in installed().entries() if entry.distribution == "ssl3d"]
    for model in (ExperimentSpec, *configs):
        yield from (part for _, part in parts_of(model))


@pytest.mark.parametrize("model", dict.fromkeys(groups()), ids=lambda model: model.__name__)
def test_it_is_a_section_with_the_rules_of_all(model: type[BaseModel]) -> None:
    assert issubclass(model, Section)
    assert model.model_config == Section.model_config


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (OptimizerSpec, {"lr": float("inf")}),
        (CTWindow, {"upper": float("inf")}),
        (CacheSpec, {"memory": float("nan")}),
        (CacheSpec, {"memroy": 1}),
        (SegResNet, {"filters": 8}),
    ],
)
def test_what_no_section_takes(model: type[BaseModel], options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model(**options)
