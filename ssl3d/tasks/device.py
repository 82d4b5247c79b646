"""The device that something is computed on outside of a run."""

from __future__ import annotations

import torch


def device_of(name: str | None) -> torch.device:
    """The device of this name, such as "cpu" or "cuda:1"; none: a GPU where there is one.

    Raises:
        ValueError: torch knows no such device, or has none here.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        line = str(error).splitlines()[0]
        raise ValueError(f"device: given {name!r}: {line}. Give cpu, or cuda on a GPU") from None
    return device
