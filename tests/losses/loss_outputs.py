"""Outputs of a pre-training step made by hand, for the tests of losses."""

import torch

from ssl3d.geometry import quotient, times
from ssl3d.kinds.output import PretrainOutput
from ssl3d.sparse import CellGrid, HiddenLevels, SparseVolume


def make_output(
    levels,
    *,
    cell=(2, 2, 2),
    channels=1,
    seed=0,
    volume=None,
    valid=None,
    prediction=None,
    target="patch_normalised",
    weights=None,
    stages=(),
    dtype=torch.float64,
):
    """Random volume and prediction unless given; `levels` are (B, Gd, Gh, Gw) bool."""
    generator = torch.Generator().manual_seed(seed)
    levels = tuple(levels)
    grid = tuple(levels[0].shape[1:])
    shape = (len(levels[0]), channels, *times(grid, cell))
    if volume is None:
        volume = torch.rand(shape, generator=generator, dtype=dtype)
    if prediction is None:
        prediction = torch.randn(shape, generator=generator, dtype=dtype)
    if valid is None:
        valid = torch.ones(shape[0], *shape[2:], dtype=torch.bool)
    hidden = HiddenLevels(levels, weights=weights or (1.0,) * len(levels))
    boxes = valid.view(shape[0], grid[0], cell[0], grid[1], cell[1], grid[2], cell[2])
    some_valid = boxes.any(6).any(4).any(2)
    return PretrainOutput(
        volume=torch.where(valid[:, None], volume, 0.0),
        valid=valid,
        prediction=prediction,
        hidden=hidden.voxels(cell),
        stages=tuple(stages),
        levels=hidden,
        cells=CellGrid(~levels[0] & some_valid, cell=cell),
        target=target,
    )


def sparse_stages(output, stages, *, seed=0, dtype=torch.float64):
    """Random features of the visible cells at each stage, which require gradients."""
    generator = torch.Generator().manual_seed(seed)
    cells = output.cells
    return tuple(
        SparseVolume(
            torch.randn(
                (cells.n, *quotient(cells.cell, stage.stride), stage.channels),
                generator=generator,
                dtype=dtype,
            ).requires_grad_(),
            cells,
            stage.stride,
            backend=None,
        )
        for stage in stages
    )


def random_levels(grid, *, batch, seed, nested=False):
    """Random nested levels, possibly empty ones."""
    generator = torch.Generator().manual_seed(seed)
    level = torch.rand((batch, *grid), generator=generator) < 0.5
    if not nested:
        return (level,)
    return (level, level & (torch.rand((batch, *grid), generator=generator) < 0.5))
