"""Keys of all ranks, with gradient."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from ssl3d.sparse.layers.sync import all_reduce_sum, world_size


def gather_keys(keys: Tensor, *, used: Tensor) -> tuple[Tensor, Tensor, int]:
    """Concatenate the keys of all ranks; every rank must call it, in forward and in backward.

    The gradient of a key is summed over the ranks that used it as a negative. Gradients averaged
    over ranks are then those of one process that holds the whole batch.

    Args:
        keys: (M, C), of as many rows on each rank.
        used: (M,) bool.

    Returns:
        Keys (R·M, C), used (R·M,), and the row of this rank's first key.
    """
    if world_size() == 1:
        return keys, used, 0
    start = dist.get_rank() * len(keys)
    rows = torch.cat([keys, used[:, None].to(keys)], 1)
    after = (world_size() - 1) * len(keys) - start
    everyone = all_reduce_sum(torch.nn.functional.pad(rows, (0, 0, start, after)))
    return everyone[:, :-1], everyone[:, -1] > 0.5, start
