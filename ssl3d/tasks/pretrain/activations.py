"""What a backward pass keeps, counted on a part of a patch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ssl3d.geometry import Triple, product, quotient, times
from ssl3d.masked.model import PretrainModel
from ssl3d.run.precision import with_precision
from ssl3d.streams import Stream, generator
from ssl3d.tasks.pretrain.spec import ExperimentSpec
from ssl3d.tasks.pretrain.step_time import noise_batch

MOST_CELLS, MOST_VOXELS = 64, 64**3
"""Larger patches are measured on a part of so many cells, or voxels where that is more."""


def activations_of_a_crop(model: PretrainModel, *, spec: ExperimentSpec) -> tuple[int, Triple]:
    """(bytes that the backward pass of one crop keeps, the grid of cells that was measured).

    Where that is a part of the patch, half of it is measured too, and what a cell adds is taken as
    often as there are more: weights in half precision are kept once, whatever the patch.
    """
    grid = quotient(spec.data.patch, spec.cell_size)
    part = _part(grid, spec=spec, most=max(MOST_CELLS, MOST_VOXELS // product(spec.cell_size)))
    kept = saved_bytes(model, spec=spec, patch=times(part, spec.cell_size))
    if part == grid:
        return kept, part
    half = _part(part, spec=spec, most=product(part) - 1)
    a_cell = kept / product(part)
    if half != part:
        fewer = saved_bytes(model, spec=spec, patch=times(half, spec.cell_size))
        a_cell = max(kept - fewer, 0) / (product(part) - product(half))
    return kept + round(a_cell * (product(grid) - product(part))), part


def _part(grid: Triple, *, spec: ExperimentSpec, most: int) -> Triple:
    """The grid, its longest axis halved until it has at most `most` cells.

    Where views cannot be made of that, the largest one of so many cells that they can be made of.
    """
    edges = list(grid)
    while product((edges[0], edges[1], edges[2])) > most:
        longest = edges.index(max(edges))
        edges[longest] = -(-edges[longest] // 2)
    z, y, x = (range(1, edge + 1) for edge in grid)
    smaller: Iterator[Triple] = itertools.product(z, y, x)
    fewer = sorted((g for g in smaller if product(g) <= most), key=product, reverse=True)
    halved = (edges[0], edges[1], edges[2])
    return next((g for g in (halved, *fewer) if _can_be(g, spec=spec)), grid)


def _can_be(grid: Triple, *, spec: ExperimentSpec) -> bool:
    """True where the views of a patch of so many cells can be made, and hidden in part."""
    patch, cell = times(grid, spec.cell_size), spec.cell_size
    if any(spec.views.problems(patch=patch, cell=cell, masker=spec.masker)):
        return False
    sizes = spec.views.levels(patch, cell=cell, masker=spec.masker)
    drawn = [quotient(level.size, cell) for level in sizes if level.shown is None]
    return not any(any(spec.masker.problems(grid=one)) for one in drawn)


def saved_bytes(model: PretrainModel, *, spec: ExperimentSpec, patch: Triple) -> int:
    """Bytes that the backward pass of one crop keeps, and those of one part for a while."""
    batch = noise_batch(model, spec=spec, samples=1, patch=patch)
    kept = _kept(
        lambda: model.step(batch, generator=generator(spec.seed, Stream.TRIAL)).loss,
        model=model,
        spec=spec,
    )
    if model.at_once is None:
        return kept
    parts = [
        (
            model.hideable(views.enlarged().volume[: model.at_once]),
            views.cells.part(0, model.at_once),
        )
        for views in batch.views
        if len(views) > model.at_once
    ]
    again = (_kept(partial(model.one_pass, *part), model=model, spec=spec) for part in parts)
    return kept + max(again, default=0)


def _kept(run: Callable[[], object], *, model: PretrainModel, spec: ExperimentSpec) -> int:
    """Bytes that `run` keeps for a backward pass, each storage once, parameters left out."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    single = with_precision(spec.trainer).precision == "32"
    half = nullcontext() if single else torch.autocast("cpu", torch.bfloat16)
    with half, saved_tensors_hooks(note, lambda tensor: tensor):
        # The graph stays alive until the bytes are counted, so no address is used twice.
        output = run()
    for parameter in model.parameters():
        sizes.pop(parameter.untyped_storage().data_ptr(), None)
    del output
    return sum(sizes.values())
