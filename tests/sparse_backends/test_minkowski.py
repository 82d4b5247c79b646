"""MinkowskiEngine under the kit that every sparse backend must pass."""

from __future__ import annotations

import pytest

from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d_plugins.sparse_minkowski import Minkowski

pytest.importorskip("MinkowskiEngine", reason="MinkowskiEngine: run `ssl3d install minkowski`")


class TestMinkowski(SparseBackendConformance):
    config = Minkowski()
