"""The checks of the kits as plain functions: without pytest, with a reason, none of them lost."""

from __future__ import annotations

import importlib
from unittest import SkipTest

import pytest

from ssl3d.testing.check import Check, check, refused, require

KITS = {
    "masker": "MaskerConformance",
    "views": "ViewsConformance",
    "loss": "LossConformance",
    "backbone": "BackboneConformance",
    "decoder": "DecoderConformance",
    "sparse_backend": "SparseBackendConformance",
}

WITHOUT_PYTEST = """
import sys
sys.modules["pytest"] = None  # importing it is an ImportError

import ssl3d.testing.backbone_checks, ssl3d.testing.decoder_checks
import ssl3d.testing.sparse_backend_checks
from ssl3d.testing import loss_checks, masker_checks, views_checks
from ssl3d.testing.views_under_test import ViewsUnderTest
from ssl3d_plugins.losses import L1
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.views import Single

tried = 0
for kit, component in (
    (masker_checks, masker_checks.MaskerUnderTest(Random())),
    (loss_checks, loss_checks.LossUnderTest(L1())),
    (views_checks, ViewsUnderTest(Single(), Random())),
):
    for check in kit.CHECKS:
        for name, arguments in check.cases():
            check(component, **arguments)
            tried += 1
print(tried)
"""


def test_checks_need_no_pytest(run_python) -> None:  # type: ignore[no-untyped-def]
    done = run_python(WITHOUT_PYTEST)
    assert done.returncode == 0, done.stderr
    cases = sum(len(list(c.cases())) for kind in ("masker", "loss", "views") for c in checks(kind))
    assert int(done.stdout) == cases > 15


def checks(kind: str) -> tuple[Check[..., object], ...]:
    found: tuple[Check[..., object], ...]
    found = importlib.import_module(f"ssl3d.testing.{kind}_checks").CHECKS
    return found


@pytest.mark.parametrize("kind", KITS)
def test_every_check_says_what_must_hold_and_is_a_test_of_its_kit(kind: str) -> None:
    kit = getattr(importlib.import_module(f"ssl3d.testing.{kind}"), KITS[kind])
    assert all(one.__doc__ for one in checks(kind))
    tests = {name for name in vars(kit) if name.startswith("test_")}
    assert tests == {f"test_{one.name}" for one in checks(kind)}


def test_every_combination_of_values_is_a_case() -> None:
    @check(size={"small": 1, "large": 9}, edge=(2, 4))
    def sizes(component: str, *, size: int, edge: int) -> int:
        """Something."""
        return size + edge + len(component)

    assert dict(sizes.cases()) == {
        f"{name}-{edge}": {"size": size, "edge": edge}
        for name, size in (("small", 1), ("large", 9))
        for edge in (2, 4)
    }
    assert sizes("abc", size=1, edge=2) == 6
    assert (sizes.name, sizes.__doc__) == ("sizes", "Something.")


def test_a_check_fails_under_optimisation_too(run_python) -> None:  # type: ignore[no-untyped-def]
    """`python -O` leaves assert statements out; doctor must not become blind by it."""
    code = "exec(compile('from ssl3d.testing.check import require; require(False, \"why\")', '', "
    done = run_python(code + "'exec', optimize=2))", env={"PYTHONOPTIMIZE": "2"})
    assert done.returncode == 1
    assert "AssertionError: why" in done.stderr


def test_what_must_be_refused() -> None:
    with refused("a mistake", naming="kernel"):
        raise ValueError("the kernel is even")
    with (
        pytest.raises(AssertionError, match="does not name 'stride'"),
        refused("a mistake", naming="stride"),
    ):
        raise ValueError("the kernel is even")
    with (
        pytest.raises(AssertionError, match="a mistake must raise a ValueError"),
        refused("a mistake"),
    ):
        require(True, "")
    with pytest.raises(SkipTest), refused("a mistake"):
        raise SkipTest("not a mistake")
