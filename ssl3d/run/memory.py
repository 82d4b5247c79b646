"""How much memory a run has taken at most."""

from __future__ import annotations

import sys

import torch

GIB = 2**30


def memory(device: torch.device) -> float:
    """GiB: of a GPU, what torch has allotted at most; of a CPU, what this process has taken."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    import resource  # not on Windows, where a run is on a GPU or does without

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / GIB if sys.platform == "darwin" else peak * 1024 / GIB
