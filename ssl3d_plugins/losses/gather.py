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
        keys: (M, C); ranks may hold different numbers of them.
        used: (M,) bool.

    Returns:
        Keys (R·M', C), used (R·M',), and the row of this rank's first key; M' is the largest M.
        Rows that fill up a rank's share are not used.
    """
    if world_size() == 1:
        return keys, used, 0
    rank = dist.get_rank()
    sizes = torch.zeros(world_size(), device=keys.device)
    sizes[rank] = len(keys)
    largest = int(all_reduce_sum(sizes).max())
    rows = torch.cat([keys, used[:, None].to(keys)], 1)
    start = rank * largest
    before, after = start, (world_size() - rank) * largest - len(keys)
    everyone = all_reduce_sum(torch.nn.functional.pad(rows, (0, 0, before, after)))
    return everyone[:, :-1], everyone[:, -1] > 0.5, start
