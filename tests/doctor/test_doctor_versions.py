"""Versions are compared with the distribution's own metadata."""

from __future__ import annotations

import importlib.metadata

import pytest
from packaging.requirements import Requirement

from ssl3d.doctor import versions
from ssl3d.doctor.check import perform
from ssl3d.doctor.result import Result


def examine() -> dict[str, Result]:
    return {check.name: perform(check) for check in versions.version_checks()}


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Other versions (None: not installed) and other requirements of distributions."""
    version, requires = importlib.metadata.version, importlib.metadata.requires

    def replace(found: dict[str, str | None], *, needs: dict[str, list[str]] | None = None) -> None:
        def replaced(name: str) -> str:
            if name not in found:
                return version(name)
            if found[name] is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return str(found[name])

        monkeypatch.setattr(importlib.metadata, "version", replaced)
        monkeypatch.setattr(
            importlib.metadata, "requires", lambda name: (needs or {}).get(name, requires(name))
        )

    return replace


def test_every_requirement_of_the_distribution_is_compared() -> None:
    results = examine()
    declared = [Requirement(text) for text in importlib.metadata.requires("ssl3d") or []]
    wanted = {r.name for r in declared if not (r.marker and 'extra == "test"' in str(r.marker))}
    assert wanted | {"python", "fit one another"} == set(results)
    assert {"torch", "lightning", "monai", "ptwt", "pydantic", "pluggy", "numpy"} < set(results)
    assert {"spconv-cu121", "spconv-cu126"} < set(results)
    for requirement in declared:
        if requirement.marker is None:
            assert results[requirement.name].status == "ok"


def test_an_old_version_fails_and_says_what_installs_another(pretend) -> None:  # type: ignore[no-untyped-def]
    pretend({"torch": "2.4.0+cu121", "monai": "1.6.0rc1"})
    results = examine()
    assert results["torch"].status == "failed"
    assert results["torch"].detail == "2.4.0+cu121; supported: >=2.4.1"
    assert results["torch"].advice == 'python -m pip install "torch>=2.4.1"'
    assert results["monai"].status == "ok"


def test_a_missing_requirement_fails_and_a_missing_option_does_not(pretend) -> None:  # type: ignore[no-untyped-def]
    pretend({"ptwt": None, "spconv-cu121": None})
    results = examine()
    assert (results["ptwt"].status, results["ptwt"].passed) == ("failed", False)
    assert results["ptwt"].advice == 'python -m pip install "ptwt>=1.0.1"'
    assert results["spconv-cu121"].status == "not there"
    assert results["spconv-cu121"].detail == 'optional: pip install "ssl3d[spconv-cu121]"'
    assert results["spconv-cu121"].passed


def test_libraries_that_contradict_each_other_are_named(pretend) -> None:  # type: ignore[no-untyped-def]
    # The contradiction that once made an installation replace torch.
    pretend({"monai": "1.5.1", "torch": "2.4.0"}, needs={"monai": ["torch>=2.4.1"]})
    result = examine()["fit one another"]
    assert result.status == "failed"
    assert "monai 1.5.1 needs torch>=2.4.1, found 2.4.0" in result.detail


def test_another_extra_of_a_library_is_no_contradiction(pretend) -> None:  # type: ignore[no-untyped-def]
    needs = {name: [] for name in ("lightning", "monai", "numpy")}
    pretend({}, needs={**needs, "ptwt": ['numpy<1; extra == "old"', "numpy>=1"]})
    (check,) = [c for c in versions.version_checks() if c.name == "fit one another"]
    assert "ptwt" not in perform(check).detail


@pytest.mark.parametrize(("supported", "status"), [(">=3.11", "ok"), (">=3.99", "failed")])
def test_python_is_compared(supported: str, status: str) -> None:
    check = versions.Check("versions", "python", lambda: versions.python(supported), "")
    result = perform(check)
    assert result.status == status
    assert (result.advice == "make an environment with Python >=3.99") == (status == "failed")
