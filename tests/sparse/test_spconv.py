"""spconv under the kit that every sparse backend must pass, and its guards."""

from __future__ import annotations

import pytest

from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d_plugins.sparse_spconv import Spconv
from ssl3d_plugins.sparse_spconv.library import check_spconv

needs_spconv = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("spconv") is None,
    reason='spconv is not installed: pip install "ssl3d[spconv-cu126]"',
)


@needs_spconv
class TestSpconv(SparseBackendConformance):
    config = Spconv()


def test_the_racing_wheel_is_refused_by_name() -> None:
    with pytest.raises(ImportError, match=r"plain `spconv` wheel.*pip uninstall spconv.*cu126"):
        check_spconv(["spconv"])


def test_an_absent_library_says_what_to_install() -> None:
    with pytest.raises(ImportError, match=r"needs spconv 2.3.8: pip install"):
        check_spconv([])
