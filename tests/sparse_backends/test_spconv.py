"""spconv under the kit that every sparse backend must pass, and its guards."""

from __future__ import annotations

import importlib.metadata
import importlib.util

import pytest

from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d_plugins.sparse_spconv import Spconv

needs_spconv = pytest.mark.skipif(
    importlib.util.find_spec("spconv") is None,
    reason='spconv is not installed: pip install "ssl3d[spconv-cu126]"',
)


@needs_spconv
class TestSpconv(SparseBackendConformance):
    config = Spconv()


@pytest.mark.parametrize(
    ("installed", "uninstall"),
    [
        (["spconv"], "spconv cumm"),
        (["spconv-cu126", "spconv"], "spconv spconv-cu126 cumm cumm-cu126"),
    ],
)
def test_the_racing_wheel_is_refused_by_name(
    installed: list[str], uninstall: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside another build too: they share their files, so all of them have to go."""
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: {"spconv": installed})
    with pytest.raises(ImportError, match=r"plain `spconv` wheel.*cu126") as caught:
        Spconv().build()
    assert f"Run `pip uninstall {uninstall}`, then pip install" in str(caught.value)


def test_an_absent_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "packages_distributions", dict)
    with pytest.raises(ModuleNotFoundError, match=r"needs spconv 2.3.8: pip install"):
        Spconv().build()
