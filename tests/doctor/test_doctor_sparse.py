"""The checks of a sparse backend: what works passes, and each thing that can be wrong is found."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from spoiled_backends import (
    EmptyGradient,
    EmptyRaises,
    Keeps,
    NotFinite,
    Spoiled,
    WrongGradients,
    WrongOrder,
    WrongValues,
    config_of,
)

from ssl3d.doctor.check import perform
from ssl3d.doctor.result import Result
from ssl3d.doctor.sparse_backends import checks_of_backend
from ssl3d.geometry import Triple
from ssl3d.plugin.declared import Registered
from ssl3d.plugin.registry import Registry, installed
from ssl3d.sparse import SparseBackend, SparseVolume
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d_plugins.sparse_dense.backend import DenseBackend

SLOW = {"625 sites, 256 channels", "1 000 000 sites, 4 channels"}
SMALL = {"tensor creation", "convolution", "batch norm", "network", "backward", "empty input"}
ARGUMENTS: dict[str, Any] = {
    "device": "cpu",
    "required": False,
    "advice": "do something",
}


def registry_of(backend: type[SparseBackend], *, without: str = "") -> Registry:
    """A registry with this backend alone, under the name `fake`."""
    return Registry([Registered(config_of(backend, without=without), "fake", "fake-plugin", "1.0")])


def examine(
    registry: Registry,
    name: str,
    *,
    leave_out: set[str] = frozenset(),  # type: ignore[assignment]
    required: bool = False,
) -> dict[str, Result]:
    entry = registry.entry("sparse_backend", name=name)
    checks = checks_of_backend(entry, **{**ARGUMENTS, "required": required})
    return {check.name: perform(check) for check in checks if check.name not in leave_out}


def failed(results: dict[str, Result]) -> set[str]:
    return {name for name, result in results.items() if result.status == "failed"}


@pytest.mark.parametrize("name", ["cells", "dense"])
def test_every_check_of_a_backend_that_works_is_ok(name: str) -> None:
    results = examine(installed(), name)
    assert len(results) == 9
    assert {result.status for result in results.values()} == {"ok"}, results


CONVOLUTIONS = {"convolution", "batch norm", "backward"}


@pytest.mark.parametrize(
    ("backend", "wrong", "why"),
    [
        (WrongValues, {*CONVOLUTIONS, "tensor creation", "network"}, "values: differs"),
        (WrongGradients, {*CONVOLUTIONS, "tensor creation"}, "gradient of"),
        (WrongOrder, {*CONVOLUTIONS, "tensor creation", "network"}, "values: differs"),
        (NotFinite, {*CONVOLUTIONS, "tensor creation", "network"}, "not finite"),
        (EmptyRaises, {"empty input"}, "RuntimeError: no sites"),
        (EmptyGradient, {"empty input"}, "gradient of weight: differs"),
        (Keeps, {"empty input"}, "expected (0, "),
    ],
)
def test_what_is_wrong_is_found(backend: type[SparseBackend], wrong: set[str], why: str) -> None:
    results = examine(registry_of(backend), "fake", leave_out=SLOW)
    assert failed(results) == wrong
    assert any(why in results[name].detail for name in wrong), results
    assert {results[name].advice for name in wrong} == {"do something"}


@pytest.mark.parametrize("required", [False, True])
def test_what_a_library_lacks_is_no_failure(required: bool) -> None:
    """Of a backend that was asked for too."""
    registry = registry_of(DenseBackend, without="conv_transpose3d")
    results = examine(registry, "fake", leave_out=SLOW, required=required)
    lacking = {name: r.detail for name, r in results.items() if r.status == "not there"}
    assert lacking == dict.fromkeys(["network", "backward"], "fake: no conv_transpose3d")
    assert all(result.passed for result in results.values())
    assert results["library"].required is required
    assert results["empty input"].detail.startswith("4 operations")


def test_large_sizes_are_what_they_are_called_and_errors_there_are_found() -> None:
    seen: set[tuple[int, int]] = set()

    class OnlyLarge(Spoiled):
        def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:
            seen.add((x.sites.shape[0], x.channels))
            large = x.sites.shape[0] > 100_000 or x.channels > 100
            return y.map(lambda f: f + 0.01 * f.abs()) if large else y

    results = examine(registry_of(OnlyLarge), "fake", leave_out=SMALL)
    assert {(625, 256), (1_000_000, 4)} == seen
    assert failed(results) == SLOW


NAMELESS = "the library is for another torch: run: pip install fake"
DO = "do something"


@pytest.mark.parametrize(
    ("error", "status", "why", "advice"),
    [
        (ModuleNotFoundError("run: pip install fake"), "not there", "is not installed", "run: pip"),
        (ImportError(NAMELESS), "failed", "its library cannot be used", NAMELESS),
        (ModuleNotFoundError("No module named 'c'", name="c"), "failed", "No module named", DO),
        (ImportError("undefined symbol: _ZN3c10", name="c"), "failed", "undefined symbol", DO),
        (RuntimeError("no licence"), "failed", "RuntimeError: no licence", DO),
    ],
)
def test_a_library_that_cannot_be_used(
    error: Exception, status: str, why: str, advice: str
) -> None:
    class Raises(DenseBackend):
        def __init__(self, _: SparseBackendConfig) -> None:
            raise error

    (entry,) = registry_of(Raises).entries()
    checks = checks_of_backend(entry, **{**ARGUMENTS, "required": True})
    result = perform(next(iter(checks)))
    assert (result.check, result.status, result.passed) == ("library", status, False)
    assert why in result.detail
    assert result.advice.startswith(advice)


def test_option_without_default_is_not_tried() -> None:
    class Fake(SparseBackendConfig):
        name: Literal["fake"] = "fake"
        tile: Triple

        def build(self) -> SparseBackend:
            raise AssertionError

    registry = Registry([Registered(Fake, "fake", "fake-plugin", "1.0")])
    results = examine(registry, "fake", required=True)
    assert {r.status for r in results.values()} == {"not there"}
    (required,) = [result for result in results.values() if result.required]
    assert required.check == "library"
    assert "default options" in required.advice
