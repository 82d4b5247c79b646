"""Outputs of a pre-training step made by hand, for the tests of losses."""

from dataclasses import replace

import torch

from ssl3d.geometry import quotient, times
from ssl3d.kinds.batch import Batch, ViewBatch
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.kinds.level import Level
from ssl3d.kinds.output import StepOutput, ViewOutput
from ssl3d.masked.output import PretrainOutput
from ssl3d.masked.target import hidden_patches
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
    """One view of each sample: random volume and prediction unless given.

    `levels` are (B, Gd, Gh, Gw) bool.
    """
    generator = torch.Generator().manual_seed(seed)
    levels = tuple(levels)
    grid = tuple(levels[0].shape[1:])
    shape = (len(levels[0]), channels, *times(grid, cell))
    if volume is None:
        volume = torch.rand(shape, generator=generator, dtype=dtype)
    if prediction is None:
        prediction = torch.randn(shape, generator=generator, dtype=dtype)
    hidden = HiddenLevels(levels, weights=weights or (1.0,) * len(levels))
    some_valid = torch.ones_like(levels[0])
    if valid is not None:
        volume = torch.where(valid[:, None], volume, 0.0)
        boxes = valid.view(shape[0], grid[0], cell[0], grid[1], cell[1], grid[2], cell[2])
        some_valid = boxes.any(6).any(4).any(2)
    view = ViewBatch(
        volume,
        valid=valid,
        cells=CellGrid(~levels[0] & some_valid, cell=cell),
        hidden=hidden,
        hidden_positions=tuple(level.flatten().nonzero().flatten() for level in levels),
        level=Level(1, times(grid, cell)),
    )
    batch = Batch((view,), samples=tuple(range(shape[0])), sources=("random",) * shape[0])
    found = hidden_patches(view, prediction=prediction, target=target)
    output = ViewOutput(
        view, tuple(stages), target, decoded=DecoderOutput(prediction, prediction), found=found
    )
    return PretrainOutput(StepOutput(batch, (output,)), losses={}, weights={}, metrics={})


def several(outputs, *, weights):
    """The views of several outputs of the same samples as levels of one step."""
    views = [one.step.views[0] for one in outputs]
    batches = [
        ViewBatch(
            view.batch.volume,
            valid=view.batch.valid,
            cells=view.batch.cells,
            hidden=view.batch.hidden,
            hidden_positions=view.batch.hidden_positions,
            level=Level(1, view.batch.level.size, weight=weight),
        )
        for view, weight in zip(views, weights, strict=True)
    ]
    samples = outputs[0].step.batch.samples
    batch = Batch(tuple(batches), samples=samples, sources=("random",) * len(samples))
    return StepOutput(
        batch,
        tuple(replace(view, batch=own) for view, own in zip(views, batches, strict=True)),
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
