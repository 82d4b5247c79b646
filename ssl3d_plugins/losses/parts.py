"""Parts of views: features of the decoder in each, and which can be told apart."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.geometry import Triple, quotient, times
from ssl3d.kinds.batch import ViewBatch
from ssl3d.kinds.output import ViewOutput
from ssl3d.masked.target import patch_statistics
from ssl3d.precision import at_least_single
from ssl3d.sparse import split_cells


def part_features(view: ViewOutput, *, part: Triple) -> Tensor:
    """(R, P, F): means of the decoder's features over the cells of each part that hold data.

    0 where none does.

    Args:
        view: with decoded features.
        part: cells per part; it divides the grid.
    """
    features, cells = view.features, view.batch.cells
    stride = quotient(view.batch.level.size, _size(features))
    boxes = split_cells(features, cell=times(part, quotient(cells.cell, stride)))
    rows, (pd, ph, pw) = len(view.batch), part
    n, d, h, w, channels = boxes.shape
    by_cell = at_least_single(boxes).view(n, pd, d // pd, ph, h // ph, pw, w // pw, channels)
    by_cell = by_cell.mean((2, 4, 6)).view(rows, -1, pd * ph * pw, channels)
    there = (cells.visible | view.batch.hidden.levels[0])[:, None]
    weights = split_cells(there, cell=part).flatten(1).view(rows, -1, pd * ph * pw, 1)
    return torch.where(weights, by_cell, 0).sum(2) / weights.sum(2).clamp(min=1)


def parts_with_contrast(batch: ViewBatch, *, part: Triple) -> Tensor:
    """(R, P) bool: parts of a row whose valid voxels vary in at least one channel.

    Parts of air or padding look alike, so none can be told from another.
    """
    edge = times(part, batch.cells.cell)
    voxels = split_cells(batch.volume, cell=edge).flatten(1, 3)
    valid = None
    if batch.valid is not None:
        valid = split_cells(batch.valid[:, None], cell=edge).flatten(1, 3)
    contrast: Tensor = patch_statistics(voxels, valid=valid).contrast.any(-1)
    return contrast.view(len(batch), -1)


def part_numbers(batch: ViewBatch, *, grid: Triple) -> Tensor:
    """(R,) raster index of the part of its parent that each view covers; 0 where it has none.

    Args:
        batch: of views that lie in others.
        grid: cells of the parent.
    """
    place, boxes = batch.level.place, batch.parent_box
    assert place is not None
    assert boxes is not None
    _, height, width = quotient(grid, place)
    z, y, x = (boxes[:, 0, axis] // edge for axis, edge in enumerate(place))
    return (z * height + y) * width + x


def _size(features: Tensor) -> Triple:
    d, h, w = features.shape[2:]
    return (d, h, w)
