"""Plugins, maskers, views and backbones: ours pass, and what is wrong is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from ssl3d.doctor import plugins
from ssl3d.doctor.backbones import backbone_checks
from ssl3d.doctor.check import Check, perform
from ssl3d.doctor.maskers import masker_checks
from ssl3d.doctor.result import Result
from ssl3d.doctor.views import views_checks
from ssl3d.geometry import Operation, Stage, Triple
from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.level import Level
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d.plugin.config import ComponentConfig, Problem
from ssl3d.plugin.declared import Registered
from ssl3d.plugin.registry import Registry, installed
from ssl3d.sparse import FeatureMap
from ssl3d.sparse.layers import Conv3d
from ssl3d_plugins.views import Single


def registry_of(*configs: type[ComponentConfig]) -> Registry:
    """These components, and the sparse backends that backbones need."""
    fakes = [Registered(config, "fake", "fake-plugin", "1.0") for config in configs]
    return Registry([*installed().entries("sparse_backend"), *fakes])


def by_name(checks: Iterable[Check]) -> dict[str, Result]:
    return {check.name: perform(check) for check in checks}


# Plugins


def test_plugins_are_listed_with_what_they_bring() -> None:
    results, registry = plugins.look_at_plugins()
    found = {result.check: result for result in results}
    assert found["sparse_cells"].detail.startswith("sparse backend cells (ssl3d ")
    assert "masker mim" in found["maskers"].detail
    assert "views nested" in found["views"].detail
    assert "cells" in registry.names("sparse_backend")


def test_a_plugin_that_fails_is_named_with_why_and_what_to_do(plugin) -> None:  # type: ignore[no-untyped-def]
    plugin("import no_such_library")
    results, registry = plugins.look_at_plugins()
    (failed,) = [result for result in results if not result.passed]
    assert failed.check == "fake"
    assert "fake-plugin: ModuleNotFoundError: No module named 'no_such_library'" in failed.detail
    assert "python -m pip install --upgrade fake-plugin" in failed.advice
    assert "random" in registry.names("masker")


TWICE = """
from typing import Literal
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.plugin.hooks import hookimpl

class Mine(MaskerConfig):
    name: Literal["random"] = "random"
    def build(self):
        raise NotImplementedError

@hookimpl
def ssl3d_components():
    return [Mine]
"""


def test_two_plugins_with_one_name_are_a_failure(plugin) -> None:  # type: ignore[no-untyped-def]
    plugin(TWICE)
    results, registry = plugins.look_at_plugins()
    (failed,) = [result for result in results if not result.passed]
    assert "'random'" in failed.detail
    assert "fake-plugin" in failed.detail
    assert "uninstall one" in failed.advice
    assert registry.names("masker") == ["mim"]


CHECKS_FAIL = """
from ssl3d import hookimpl

@hookimpl
def ssl3d_components():
    return ()

@hookimpl
def ssl3d_checks():
    return [("fakelib", "no function", "install fakelib")]
"""


def test_a_plugin_whose_checks_cannot_be_listed_is_named(plugin) -> None:  # type: ignore[no-untyped-def]
    plugin(CHECKS_FAIL)
    results, registry = plugins.look_at_plugins()
    (failed,) = [result for result in results if not result.passed]
    assert failed.check == "fake"
    assert "ssl3d_checks() gave" in failed.detail
    assert "random" in registry.names("masker")


# Maskers


def test_every_installed_masker_passes_on_every_grid() -> None:
    results = by_name(masker_checks(installed()))
    names = installed().names("masker")
    assert {"random", "mim"} <= set(names)
    assert set(results) == {f"{name} on {edge}³" for name in names for edge in (2, 4, 8)}
    assert {result.status for result in results.values()} == {"ok"}, results
    assert results["random on 4³"].detail == "hides 38 of 64 cells"  # round(0.6 * 64)


Draw = Callable[[Triple], tuple[Tensor, ...]]


def masker_config(draw: Draw, *, objection: str = "") -> type[MaskerConfig]:
    """A masker that gives what `draw` gives."""

    class Built(Masker):
        def __call__(
            self,
            grid: Triple,
            *,
            sample: torch.Generator,  # noqa: ARG002
            batch: torch.Generator,  # noqa: ARG002
            hideable: Tensor,  # noqa: ARG002
        ) -> tuple[Tensor, ...]:
            return draw(grid)

    class Fake(MaskerConfig):
        name: Literal["fake"] = "fake"

        def problems(self, *, grid: Triple) -> Iterable[Problem]:
            return [Problem("block", objection)] if objection and grid[0] < 4 else []

        def build(self) -> Masker:
            return Built(self)

    return Fake


def full(value: bool) -> Draw:
    return lambda grid: (torch.full(grid, value),)


def half(grid: Triple) -> tuple[Tensor, ...]:
    hidden = torch.zeros(grid, dtype=torch.bool)
    hidden[: grid[0] // 2] = True
    return (hidden,)


@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (full(True), "at least one and not all"),
        (full(False), "at least one and not all"),
        (lambda g: (half(g)[0].float(),), "torch.float32"),
        (lambda g: (half(g)[0][None],), "of shape (1, "),
        (lambda g: (half(g)[0], ~half(g)[0]), "2 levels, announced 1"),
        (lambda g: (torch.rand(g) < 0.5,), "one state of the generators differ"),
    ],
)
def test_a_wrong_masker_is_found(draw: Draw, why: str) -> None:
    results = by_name(masker_checks(registry_of(masker_config(draw))))
    assert {result.status for result in results.values()} == {"failed"}
    assert all(why in result.detail for result in results.values()), results
    assert "fake-plugin" in results["fake on 2³"].advice


def test_levels_that_are_not_nested_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    config = masker_config(lambda g: (half(g)[0], ~half(g)[0]))
    monkeypatch.setattr(config, "weights", lambda _: (1.0, 1.0))
    results = by_name(masker_checks(registry_of(config)))
    assert all("cells that level 0 shows" in result.detail for result in results.values())


def test_a_grid_that_a_masker_does_not_take_is_no_failure() -> None:
    results = by_name(masker_checks(registry_of(masker_config(half, objection="too small"))))
    assert results["fake on 2³"].status == "not there"
    assert "too small" in results["fake on 2³"].detail
    assert results["fake on 4³"].detail == "hides 32 of 64 cells"


# Views


def test_all_installed_views_pass() -> None:
    results = by_name(views_checks(installed()))
    assert set(results) == set(installed().names("views")) >= {"single", "nested"}
    assert {result.status for result in results.values()} == {"ok"}, results
    assert results["single"].detail == "1 views of a sample, with the masker mim"
    assert results["mask_in_mask"].detail == "1 + 4 + 16 views of a sample, with the masker mim"
    assert results["pair"].detail == "2 views of a sample, with the masker mim"
    assert results["nested"].detail == "1 + 1 views of a sample, with the masker mim"


class Twice(ViewsConfig):
    """The whole region twice, which the levels do not say."""

    name: Literal["twice"] = "twice"

    def levels(
        self,
        patch: Triple,
        *,
        cell: Triple,  # noqa: ARG002
        masker: MaskerConfig,
    ) -> tuple[Level, ...]:
        return (Level(1, patch, hidden=masker.weights()),)

    def problems(self, *, patch: Triple, cell: Triple, masker: MaskerConfig) -> list[Problem]:  # noqa: ARG002
        return [] if masker.name == "random" else [Problem("name", "too much is hidden")]

    def build(self, *, patch: Triple, cell: Triple, masker: MaskerConfig) -> Any:
        views = Single().build(patch=patch, cell=cell, masker=masker)
        return lambda region, **given: views(region, **given) * 2


def test_wrong_views_are_found_with_the_masker_that_they_can_work_with() -> None:
    maskers = installed().entries("masker")
    fake = Registered(Twice, "fake", "fake-plugin", "1.0")
    (check,) = views_checks(Registry([*maskers, fake]))
    result = perform(check)
    assert result.status == "failed"
    assert "[1, 1] views, announced [1]" in result.detail
    assert "fake-plugin" in result.advice
    (without,) = views_checks(Registry([fake, *maskers[:1]]))
    assert (maskers[0].config.component_name(), perform(without).status) == ("mim", "not there")
    assert perform(without).detail == "not tried: too much is hidden"
    (alone,) = views_checks(Registry([fake]))
    assert perform(alone).detail == "not tried: no masker is installed"


# Backbones


def backbone_config(
    forward: Callable[[Conv3d, FeatureMap], FeatureMap], *, announced: int = 4
) -> type[BackboneConfig]:
    """A backbone of one convolution that is called through `forward`."""

    class Built(Backbone):
        stages = (Stage((2, 4, 4), announced),)

        def __init__(self) -> None:
            super().__init__()
            self.layer = Conv3d(1, 4, kernel=(2, 4, 4), stride=(2, 4, 4))

        def forward(self, volume: FeatureMap) -> tuple[FeatureMap, ...]:
            return (forward(self.layer, volume),)

    class Fake(BackboneConfig):
        name: Literal["fake"] = "fake"

        def stages(self) -> tuple[Stage, ...]:
            return Built.stages

        def operations(self) -> tuple[Operation, ...]:
            return ()

        def build(self, *, in_channels: int) -> Backbone:
            assert in_channels == 1
            return Built()

    return Fake


def only_dense(layer: Conv3d, x: FeatureMap) -> FeatureMap:
    return layer(x if isinstance(x, Tensor) else x.to_dense())  # type: ignore[no-any-return]


def unlike(layer: Conv3d, x: FeatureMap) -> FeatureMap:
    y = layer(x)
    return y if isinstance(x, Tensor) else y.map(torch.neg)  # type: ignore[no-any-return]


def not_finite(layer: Conv3d, x: FeatureMap) -> FeatureMap:
    y = layer(x)
    some_hidden = not isinstance(x, Tensor) and x.cells.n < 3
    return y.map(lambda f: f / 0) if some_hidden else y  # type: ignore[no-any-return]


def widened(y: FeatureMap) -> FeatureMap:
    return y if isinstance(y, Tensor) else y.map(lambda f: torch.cat([f, f], dim=-1))


@pytest.mark.parametrize("name", ["waveformer", "monai"])
def test_small_installed_backbones_pass(name: str) -> None:
    (check,) = [c for c in backbone_checks(installed()) if c.name == name]
    result = perform(check)
    assert result.status == "ok", result
    assert "voxels; nothing hidden" in result.detail


def test_a_backbone_of_one_layer_passes() -> None:
    config = backbone_config(lambda layer, x: layer(x))
    result = by_name(backbone_checks(registry_of(config)))["fake"]
    assert result.status == "ok", result
    assert result.detail.startswith("2 × 4 × 12 voxels")


@pytest.mark.parametrize(
    ("forward", "announced", "why"),
    [
        (only_dense, 4, "stage 0 of a sparse volume is a Tensor"),
        (unlike, 4, "stage 0: differs by"),
        (not_finite, 4, "is not finite"),
        (lambda layer, x: layer(x), 8, "4 channels, announced (2, 4, 4) and 8"),
        (lambda layer, x: widened(layer(x)), 4, "8 channels, announced (2, 4, 4) and 4"),
    ],
)
def test_a_wrong_backbone_is_found(
    forward: Callable[[Conv3d, FeatureMap], FeatureMap], announced: int, why: str
) -> None:
    config = backbone_config(forward, announced=announced)
    result = by_name(backbone_checks(registry_of(config)))["fake"]
    assert result.status == "failed"
    assert why in result.detail
    assert "fake-plugin" in result.advice
