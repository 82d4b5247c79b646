"""Learning rate and weight decay by step: pure functions, so a resumed run needs no state."""

from __future__ import annotations

import math

from ssl3d.run.optimizer_spec import OptimizerSpec

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
        return spec.min_lr + (spec.lr - spec.min_lr) * _half_cosine(done)
    if spec.schedule == "poly":
        return spec.lr * math.pow(1 - done, POLY_POWER)
    return spec.lr


def weight_decay(spec: OptimizerSpec, *, step: int, steps: int) -> float:
    """Weight decay of step `step`: `weight_decay` at first, `weight_decay_end` at last."""
    if spec.weight_decay_end is None:
        return spec.weight_decay
    done = min(1.0, step / max(1, steps - 1))
    end = spec.weight_decay_end
    return end + (spec.weight_decay - end) * _half_cosine(done)


def _half_cosine(done: float) -> float:
    """From 1 at 0 to 0 at 1."""
    return (1 + math.cos(math.pi * done)) / 2
