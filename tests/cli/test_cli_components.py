"""`ssl3d components` and `ssl3d schema`."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from command import Command
from pydantic import BaseModel, Field

from ssl3d import ExperimentSpec, components
from ssl3d.geometry import PerAxis
from ssl3d.plugin import catalogue
from ssl3d.plugin.declared import PluginFailure
from ssl3d.plugin.option import options_of, parts_of
from ssl3d.plugin.registry import Registry, installed


def test_everything_installed_is_listed(ssl3d: Command) -> None:
    done = ssl3d("components")
    assert done.code == 0
    for entry in installed().entries():
        assert entry.config.component_name() in done.out
    assert "ssl3d 0.1.0" in done.out


def test_a_component_is_shown_with_every_option(ssl3d: Command) -> None:
    for component in components():
        done = ssl3d("components", component.name)
        assert done.code == 0
        assert f"{component.kind} {component.name}" in done.out
        for option in component.options:
            assert f"  {option.name}  {option.type}" in done.out
            assert option.bounds in done.out
            assert option.description[:60] in done.out.replace("\n      ", " ")


def test_json_holds_everything(ssl3d: Command) -> None:
    shown = json.loads(ssl3d("components", "--json").out)
    assert shown.keys() == {"components", "failures", "clashes"}
    assert len(shown["components"]) == len(installed().entries())
    (random,) = json.loads(ssl3d("components", "random", "--json").out)["components"]
    assert random["config"] == "ssl3d_plugins.maskers.random_config:Random"
    ratio = random["options"][0]
    assert ratio["name"] == "ratio"
    assert ratio["bounds"] == "0 < x < 1"
    assert ratio["default"] == 0.6


def test_an_unknown_component_gives_a_near_miss(ssl3d: Command) -> None:
    done = ssl3d("components", "wavformer")
    assert done.code == 2
    assert "unknown component 'wavformer'. Did you mean 'waveformer'? Installed: " in done.err


def test_a_plugin_that_failed_is_listed_with_the_reason(
    ssl3d: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = PluginFailure("bad", "a-bad-one", "ModuleNotFoundError: No module named 'x'")
    registry = Registry(installed()._components.values(), failures=[failure])
    monkeypatch.setattr(catalogue, "installed", lambda: registry)
    words = "Plugin bad of a-bad-one could not be loaded: ModuleNotFoundError: No module named 'x'"
    assert words in ssl3d("components").out
    assert words in ssl3d("components", "random").out
    (failed,) = json.loads(ssl3d("components", "--json").out)["failures"]
    assert failed == {"plugin": "bad", "distribution": "a-bad-one", "error": failure.error}
    assert "bad (a-bad-one): ModuleNotFoundError" in ssl3d("components", "nothing").err


def test_the_schema_is_json(ssl3d: Command) -> None:
    schema = json.loads(ssl3d("schema").out)
    assert schema["properties"].keys() >= {"backbone", "masker", "data"}


def test_every_option_of_a_spec_is_shown(ssl3d: Command) -> None:
    done = ssl3d("options")
    assert done.code == 0
    for path, model in parts_of(ExperimentSpec):
        assert f"\n{path}" in f"\n{done.out}"
        for option in options_of(model):
            assert f"\n  {option.name}  {option.type}" in done.out
    one = ssl3d("options", "data.cache").out
    assert "memory  float, GiB, x ≥ 0, default 4.0" in one
    assert "trainer" not in one
    wrong = ssl3d("options", "optimiser")
    assert wrong.code == 2
    assert "unknown part 'optimiser'. Did you mean 'optimizer'? Allowed: spec, " in wrong.err


def test_the_parts_of_a_spec() -> None:
    paths = [path for path, _ in parts_of(ExperimentSpec)]
    assert paths[0] == ""
    assert {"data", "data.cache", "optimizer", "trainer"} < set(paths)
    assert paths.count("data.normalise") == 3
    assert not {"backbone", "decoder"} & set(paths)


class _Part(BaseModel):
    depth: int = 1


class _Options(BaseModel):
    name: Literal["x"] = "x"
    size: PerAxis = Field(default=(1, 2, 3), json_schema_extra={"unit": "voxels"})
    ratio: float = Field(default=0.5, gt=0, lt=1, description="how much")
    width: int | None = Field(default=None, ge=8)
    share: float = Field(default=1.0, ge=0, le=1)
    below: float = Field(default=1.0, lt=2)
    widths: tuple[int, ...] = Field(default=(8,), min_length=1)
    sizes: tuple[PerAxis, ...] | None = None
    pair: tuple[float, float] = (0.9, 0.95)
    mode: Literal["a", "b"] = "a"
    part: _Part = _Part()
    label: str
    flag: bool = False
    table: dict[str, int] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("size", ("int | (int, int, int)", "voxels", "", "[1, 2, 3]")),
        ("ratio", ("float", "", "0 < x < 1", "0.5")),
        ("width", ("int | none", "", "x ≥ 8", "null")),
        ("share", ("float", "", "0 ≤ x ≤ 1", "1.0")),
        ("below", ("float", "", "x < 2", "1.0")),
        ("widths", ("list of int", "", "1 ≤ length", "[8]")),
        ("sizes", ("list of (int | (int, int, int)) | none", "", "", "null")),
        ("pair", ("(float, float)", "", "", "[0.9, 0.95]")),
        ("mode", ('"a" | "b"', "", "", '"a"')),
        ("part", ("_Part", "", "", '{"depth": 1}')),
        ("label", ("str", "", "", "null")),
        ("flag", ("bool", "", "", "false")),
        ("table", ("mapping", "", "", "{}")),
    ],
)
def test_an_option_in_words(name: str, facts: tuple[str, ...]) -> None:
    (option,) = [option for option in options_of(_Options) if option.name == name]
    assert (option.type, option.unit, option.bounds, option.shown_default) == facts
    assert option.required == (name == "label")


def test_the_name_is_no_option() -> None:
    assert "name" not in [option.name for option in options_of(_Options)]
