"""What our plugins want to have tried: the libraries that they stand on."""

from __future__ import annotations

import importlib.metadata

import pytest

from ssl3d.doctor.check import perform
from ssl3d.doctor.plugins import plugin_checks
from ssl3d.doctor.result import Result


def examine() -> dict[str, Result]:
    return {check.name: perform(check) for check in plugin_checks()}


def test_wavelets_come_back() -> None:
    results = examine()
    for name in ("haar round trip", "db2 round trip"):
        assert (results[name].part, results[name].status) == ("plugin waveformer", "ok")


def test_a_wrong_wavelet_library_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import ptwt.conv_transform_3 as library

    inverse = library.waverec3
    monkeypatch.setattr(library, "waverec3", lambda *given: inverse(*given) + 1e-6)
    results = examine()
    assert results["haar round trip"].status == results["db2 round trip"].status == "failed"
    assert "off by 1.0e-06" in results["haar round trip"].detail
    assert "install ptwt again" in results["haar round trip"].advice


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Another version of MinkowskiEngine (None: not installed), and what it asks for."""

    def replace(found: str | None, *, needs: tuple[str, ...] = ()) -> None:
        version, requires = importlib.metadata.version, importlib.metadata.requires

        def replaced(name: str) -> str:
            if name == "MinkowskiEngine" and found is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return str(found) if name == "MinkowskiEngine" else version(name)

        def asked(name: str) -> list[str] | None:
            return list(needs) if name == "MinkowskiEngine" else requires(name)

        monkeypatch.setattr(importlib.metadata, "version", replaced)
        monkeypatch.setattr(importlib.metadata, "requires", asked)

    return replace


def test_the_version_of_minkowski_engine_is_compared(pretend) -> None:  # type: ignore[no-untyped-def]
    pretend("0.5.4")
    result = examine()["MinkowskiEngine"]
    assert (result.part, result.status) == ("plugin sparse_minkowski", "ok")
    assert result.detail == "0.5.4; supported: ==0.5.4"


def test_another_minkowski_engine_fails(pretend) -> None:  # type: ignore[no-untyped-def]
    pretend("0.6.0")
    result = examine()["MinkowskiEngine"]
    assert (result.status, result.advice) == ("failed", "ssl3d install minkowski --force")


def test_what_minkowski_engine_contradicts_is_named(pretend) -> None:  # type: ignore[no-untyped-def]
    pretend("0.5.4", needs=("torch<1",))
    result = examine()["MinkowskiEngine"]
    assert result.status == "failed"
    assert "MinkowskiEngine 0.5.4 needs torch<1, found" in result.detail


def test_an_absent_minkowski_engine_is_optional(pretend) -> None:  # type: ignore[no-untyped-def]
    pretend(None)
    result = examine()["MinkowskiEngine"]
    assert (result.status, result.detail) == ("not there", "optional: ssl3d install minkowski")


@pytest.mark.parametrize(
    ("builds", "status", "why"),
    [
        ([], "not there", "pip install"),
        (["spconv"], "failed", "the plain `spconv` wheel"),
        (["pip"], "ok", f"pip {importlib.metadata.version('pip')}"),
    ],
)
def test_the_build_of_spconv_is_compared(
    builds: list[str], status: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"spconv": builds} if builds else {}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: found)
    result = examine()["spconv"]
    assert (result.part, result.status) == ("plugin sparse_spconv", status)
    assert why in result.detail + result.advice
