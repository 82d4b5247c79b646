"""What is said of the ways to convolve on a device: by a run's environment file and by doctor."""

from __future__ import annotations

import torch

from ssl3d_plugins.sparse_cells.trial import trouble
from ssl3d_plugins.sparse_cells.ways_file import device_name, read_tables


def about_ways(device: str) -> str:
    """By which table they are chosen; on CUDA also whether the fused kernels work.

    Raises:
        ValueError: a table of measured times cannot be read.
    """
    where = torch.device(device)
    tables = read_tables()
    table = tables.get(device_name(where)) if tables else None
    ways = "ways to convolve: " + ("built-in table" if table is None else table.describe())
    if where.type != "cuda":
        return ways
    return f"{ways}; fused kernels: {trouble(where) or 'they work'}"
