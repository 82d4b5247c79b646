"""Versions of torch that are slow at what is done here."""

from __future__ import annotations

import torch


def slow_torch() -> str | None:
    """What is wrong with this torch on CUDA devices; None where nothing is known.

    torch 2.9 leaves cuDNN for 3D convolutions in half precision: four times slower under autocast
    (pytorch issue 166122).
    """
    if torch.version.cuda is None or not torch.__version__.startswith("2.9."):
        return None
    return (
        f"torch {torch.__version__} computes 3D convolutions in half precision about four times "
        "slower on CUDA devices than other versions (pytorch issue 166122): install torch 2.8, or "
        "2.10 or later"
    )
