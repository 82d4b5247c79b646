"""Dense volumes as cells, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssl3d.geometry import Triple, divides, product, quotient, show

Where = tuple[Tensor, ...]
"""Sample, z, y, x of cells, (M,) each."""


def cells_of(volume: Tensor, *, cell: Triple) -> Tensor:
    """A volume (B, C, D, H, W) seen as (B, Gd, Gh, Gw, cd, ch, cw, C), its memory as it is."""
    b, c, *size = volume.shape
    (gd, gh, gw), (cd, ch, cw) = quotient((size[0], size[1], size[2]), cell), cell
    return volume.view(b, c, gd, cd, gh, ch, gw, cw).permute(0, 2, 4, 6, 3, 5, 7, 1)


def pick_cells(volume: Tensor, *, where: Where, cell: Triple) -> Tensor:
    """Some cells of a volume; nothing else of it is read.

    Args:
        volume: (B, C, D, H, W).
        where: sample, z, y, x of each cell, (M,) each; none twice.
        cell: sites per cell.

    Returns:
        (M, cd, ch, cw, C) contiguous.
    """
    picked: Tensor = _Picked.apply(volume, cell, *where)  # type: ignore[no-untyped-call]
    return picked


class _Picked(torch.autograd.Function):
    """No cell comes twice, so that the gradient is written and not summed."""

    @staticmethod
    def forward(ctx: Any, volume: Tensor, cell: Triple, *where: Tensor) -> Tensor:
        ctx.save_for_backward(*where)
        ctx.cell, ctx.shape = cell, volume.shape
        return cells_of(volume, cell=cell)[where].contiguous()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        volume = grad.new_zeros(ctx.shape)
        cells_of(volume, cell=ctx.cell)[ctx.saved_tensors] = grad
        return volume, None, None, None, None, None


def split_cells(volume: Tensor, *, cell: Triple) -> Tensor:
    """Cut a volume into cells.

    Args:
        volume: (B, C, D, H, W), edges multiples of `cell`.
        cell: sites per cell, (z, y, x).

    Returns:
        (B·Gd·Gh·Gw, cd, ch, cw, C), cells in raster order.
    """
    return cells_of(volume, cell=cell).flatten(0, 3)


def join_cells(boxes: Tensor, *, grid: Triple) -> Tensor:
    """Inverse of `split_cells`; the result is channels-last in memory."""
    n, cd, ch, cw, c = boxes.shape
    gd, gh, gw = grid
    b = n // product(grid)
    dense = boxes.reshape(b, gd, gh, gw, cd, ch, cw, c).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return dense.reshape(b, gd * cd, gh * ch, gw * cw, c).permute(0, 4, 1, 2, 3)


def grid_of(volume: Tensor, *, cell: Triple) -> Triple:
    """Cells per axis of a volume (B, C, D, H, W).

    Raises:
        ValueError: an edge is not a multiple of the cell's.
    """
    size = tuple(volume.shape[2:])
    if len(size) != 3 or not divides(cell, size):
        raise ValueError(
            f"volume has shape {tuple(volume.shape)}; it must be (B, C, D, H, W) with D, H, W "
            f"multiples of the cell {show(cell)}: crop or pad it"
        )
    return quotient(size, cell)
