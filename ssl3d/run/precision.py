"""Mixed precision by the name that a spec has for it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

HALVES = {"bf16": torch.bfloat16, "16": torch.float16}


def autocast(precision: str, *, device: torch.device) -> AbstractContextManager[object]:
    """What training computes its losses in; evaluations that shall do so as well enter it."""
    half = HALVES.get(precision)
    return nullcontext() if half is None else torch.autocast(device.type, half)
