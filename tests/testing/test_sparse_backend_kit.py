"""The kit for sparse backends: each of its tests finds a backend with one thing wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import spoiled_backends as spoiled

from ssl3d.geometry import Operation
from ssl3d.sparse import SparseBackend
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d.testing.sparse_cases import LARGER, UNDEFINED, make_case, random_case
from ssl3d_plugins.sparse_dense.backend import DenseBackend

pytest_plugins = ["pytester"]

KIT_TESTS = {name for name in vars(SparseBackendConformance) if name.startswith("test_")}
PLAIN = make_case("conv3d", 3)
CASE = {"case": PLAIN}
LARGE = {"case": LARGER[0]}
UNEVEN = {**CASE, "layout": "uneven"}
EMPTY = {**CASE, "layout": "empty_batch"}
CHAIN = {"first": (2, 2, 2), "up": 2, "layout": "uneven"}
ODD = {"kind": "conv3d"}
SEED = next(seed for seed in range(40) if random_case(seed)[0].op.kind == "conv3d")

FOUND: list[tuple[type[SparseBackend], str, dict[str, Any]]] = [
    (spoiled.WrongValues, "test_definition", UNEVEN),
    (spoiled.WrongGradients, "test_definition", UNEVEN),
    (spoiled.WrongOrder, "test_definition", UNEVEN),
    (spoiled.NotFinite, "test_definition", UNEVEN),
    (spoiled.NoBias, "test_definition", UNEVEN),
    (spoiled.DetachedBias, "test_definition", UNEVEN),
    (spoiled.DetachedBias, "test_frozen", {"frozen": "weight"}),
    (spoiled.Detached, "test_definition", UNEVEN),
    (spoiled.EmptyRaises, "test_definition", EMPTY),
    (spoiled.EmptyGradient, "test_definition", EMPTY),
    (spoiled.Keeps, "test_definition", EMPTY),
    (spoiled.WrongValues, "test_random_shapes", {"seed": SEED}),
    (spoiled.WrongValues, "test_nothing_hidden_is_torch", CASE),
    (spoiled.NotFinite, "test_hidden_voxels_are_never_read", LARGE),
    (spoiled.Noisy, "test_same_bits_in_every_run", LARGE),
    (spoiled.SamplesMeet, "test_samples_do_not_meet", LARGE),
    (spoiled.SamplesMeetBackwards, "test_samples_do_not_meet", LARGE),
    (spoiled.Stale, "test_one_grid_serves_all_layers", {}),
    (spoiled.WrongGradients, "test_down_and_up", CHAIN),
    (spoiled.WrongGradients, "test_batch_norm_counts_visible_sites", {"layout": "uneven"}),
    (spoiled.Coarse, "test_autocast", LARGE),
    (spoiled.FrozenWeight, "test_frozen", {"frozen": "weight"}),
    (spoiled.AlwaysGradients, "test_no_gradient_is_kept_where_none_is_wanted", {}),
    (spoiled.Unchecked, "test_undefined_is_refused", {"op": UNDEFINED[0]}),
    (spoiled.Unchecked, "test_odd_cells_are_not_halved", ODD),
    (spoiled.Unchecked, "test_voxels_are_not_refined", {}),
    (spoiled.Unchecked, "test_wrong_channels_are_refused", {}),
    (spoiled.Contradicts, "test_name", {}),
]


def call(config: SparseBackendConfig, test: str, arguments: dict[str, Any]) -> None:
    """Call a test of the kit on a backend."""
    kit = SparseBackendConformance()
    kit.config = config  # type: ignore[misc]
    getattr(kit, test)(*[arguments] if arguments else [])


@pytest.mark.parametrize(
    ("backend", "test", "arguments"), FOUND, ids=[f"{b.__name__}-{t}" for b, t, _ in FOUND]
)
def test_what_is_wrong_is_found(
    backend: type[SparseBackend], test: str, arguments: dict[str, Any]
) -> None:
    call(spoiled.config_of(DenseBackend)(), test, arguments)
    kinds = RuntimeError if backend is spoiled.EmptyRaises else AssertionError
    with pytest.raises(kinds):
        call(spoiled.config_of(backend)(), test, arguments)


@pytest.mark.parametrize("backend", [spoiled.NoBias, spoiled.DetachedBias])
def test_the_reason_names_the_bias_that_learns_nothing(backend: type[SparseBackend]) -> None:
    with pytest.raises(AssertionError, match="gradient of bias is missing"):
        call(spoiled.config_of(backend)(), "test_definition", UNEVEN)


def test_a_config_that_claims_what_has_no_meaning_is_found() -> None:
    class Claims(spoiled.config_of(DenseBackend)):  # type: ignore[misc]
        def problems(self, op: Operation) -> tuple[str, ...]:  # noqa: ARG002
            return ()

    with pytest.raises(AssertionError):
        call(Claims(), "test_undefined_is_refused", {"op": UNDEFINED[0]})


def test_every_test_of_the_kit_finds_something() -> None:
    assert {test for _, test, _ in FOUND} == KIT_TESTS


SUITE = """
from spoiled_backends import WrongValues, config_of
from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d_plugins.sparse_dense.backend import DenseBackend

class TestByTest(SparseBackendConformance):
    config = config_of(WrongValues)()
    expected_failures = {"test_one_grid_serves_all_layers": "wrong values"}

class TestByKind(SparseBackendConformance):
    config = config_of(WrongValues)()
    expected_failures = {"conv3d": "wrong values"}

class TestByCase(SparseBackendConformance):
    config = config_of(WrongValues)()
    expected_failures = {"PLAIN": "wrong values"}

class TestNotNamed(SparseBackendConformance):
    config = config_of(WrongValues)()

class TestThatWorks(SparseBackendConformance):
    config = config_of(DenseBackend)()
    expected_failures = {"test_name": "it was so once"}
"""


def test_expected_failures_must_fail(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both directions: what is named and fails is no failure, what is named and passes is."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=":")
    path = pytester.makepyfile(test_suite=SUITE.replace("PLAIN", str(PLAIN)))
    pool = make_case("max_pool3d", 2, 2)
    definition = f"test_definition[{PLAIN}-uneven]"
    chosen = [
        "TestByTest::test_one_grid_serves_all_layers",
        f"TestByKind::{definition}",
        f"TestByKind::test_definition[{pool}-uneven]",
        f"TestByCase::{definition}",
        f"TestNotNamed::{definition}",
        "TestThatWorks::test_name",
    ]
    result = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-rxXf", *(f"{path}::{name}" for name in chosen)
    )
    result.assert_outcomes(xfailed=3, passed=1, failed=2)
    result.stdout.fnmatch_lines_random(
        ["*XPASS(strict)*it was so once*", "FAILED*TestNotNamed::*", "XFAIL*wrong values*"]
    )
