"""What the tests of this folder compute on: a GPU, or a CPU for a dry run."""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

DEVICE = os.environ.get("SSL3D_TEST_DEVICE", "cuda")
ON_GPU = DEVICE.startswith("cuda")
MARKS = [
    pytest.mark.gpu,
    pytest.mark.skipif(ON_GPU and not torch.cuda.is_available(), reason="no CUDA device"),
]


def needs(library: str) -> pytest.MarkDecorator:
    """Skip where a library is not installed."""
    absent = importlib.util.find_spec(library) is None
    return pytest.mark.skipif(absent, reason=f"no {library}")
