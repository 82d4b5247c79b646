"""Dense volumes as cells, and back."""

from __future__ import annotations

from torch import Tensor

from ssl3d.geometry import Triple, divides, product, quotient, show


def split_cells(volume: Tensor, *, cell: Triple) -> Tensor:
    """Cut a volume into cells.

    Args:
        volume: (B, C, D, H, W), edges multiples of `cell`.
        cell: sites per cell, (z, y, x).

    Returns:
        (B·Gd·Gh·Gw, cd, ch, cw, C), cells in raster order.
    """
    b, c, *size = volume.shape
    (gd, gh, gw), (cd, ch, cw) = quotient((size[0], size[1], size[2]), cell), cell
    boxes = volume.reshape(b, c, gd, cd, gh, ch, gw, cw).permute(0, 2, 4, 6, 3, 5, 7, 1)
    return boxes.reshape(b * gd * gh * gw, cd, ch, cw, c)


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
