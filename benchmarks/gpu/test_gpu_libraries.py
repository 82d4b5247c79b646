"""The adapters of spconv and MinkowskiEngine on a GPU, by the kit of every sparse backend.

SSL3D_TEST_DEVICE=cpu python -m pytest benchmarks/gpu/test_gpu_libraries.py -k "Spconv and uneven"
"""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d_plugins.sparse_minkowski import Minkowski
from ssl3d_plugins.sparse_spconv import Spconv

DEVICE = os.environ.get("SSL3D_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no CUDA device"),
]


def needs(library: str) -> pytest.MarkDecorator:
    """Skip where a library is not installed."""
    return pytest.mark.skipif(importlib.util.find_spec(library) is None, reason=f"no {library}")


@needs("spconv")
class TestSpconv(SparseBackendConformance):
    config, device, dtype, tolerance = Spconv(), DEVICE, torch.float32, 1e-4


@pytest.mark.skipif(
    importlib.util.find_spec("MinkowskiEngine") is None, reason="no MinkowskiEngine"
)
class TestMinkowski(SparseBackendConformance):
    config, device, dtype, tolerance = Minkowski(), DEVICE, torch.float32, 1e-4
