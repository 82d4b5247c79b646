"""Learning rate by step: a pure function, so that a resumed run needs no state for it."""

from __future__ import annotations

import math

from ssl3d.spec import OptimizerSpec

POLY_POWER = 0.9
"""Exponent of the polynomial decay, as in nnU-Net (doi:10.1038/s41592-020-01008-z)."""


def learning_rate(spec: OptimizerSpec, *, step: int, steps: int) -> float:
    """Learning rate of optimiser step `step` (from 0) out of `steps`.

    It rises linearly over the warm-up, reaches `spec.lr` at its end, and decays from there on.
    """
    warmup = round(spec.warmup * steps)
    if step < warmup:
        return spec.lr * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    if spec.schedule == "cosine":
        return spec.min_lr + (spec.lr - spec.min_lr) * (1 + math.cos(math.pi * done)) / 2
    if spec.schedule == "poly":
        return spec.lr * math.pow(1 - done, POLY_POWER)
    return spec.lr
