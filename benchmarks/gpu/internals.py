"""What these scripts read and replace inside ssl3d: the one place to mend when its rooms move."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

import ssl3d.masked.model as model_module
import ssl3d.masked.restoration as restoration
import ssl3d.masked.target as target
from ssl3d import ExperimentSpec
from ssl3d.data import DataModule
from ssl3d.data.spec import DataSpec
from ssl3d.geometry import Operation, Triple
from ssl3d.sparse import CellGrid, HiddenLevels, SparseVolume, halo
from ssl3d.sparse.tables import kernel_rows
from ssl3d_plugins.sparse_cells import backend as cells_backend
from ssl3d_plugins.sparse_cells import pair_tables
from ssl3d_plugins.sparse_cells.across import HALO, PAIRS, Way
from ssl3d_plugins.sparse_cells.pair_tables import pair_groups
from ssl3d_plugins.waveformer import mixer
from ssl3d_plugins.waveformer.wavelet.fused import spread

__all__ = [
    "HALO",
    "PAIRS",
    "CellGrid",
    "DataModule",
    "DataSpec",
    "ExperimentSpec",
    "HiddenLevels",
    "Operation",
    "SparseVolume",
    "Triple",
    "cells_backend",
    "kernel_rows",
    "pair_tables",
]

DATA_DEPENDENT = (pair_groups,)
"""Tables whose shapes depend on which cells are visible, not on their number alone."""


@contextlib.contextmanager
def ways(form: str) -> Iterator[None]:
    """How `cells` convolves: `halo` boxes or `all pairs` at once everywhere, else as it chooses."""
    before = cells_backend.choose, pair_tables.MOST_PAIRS
    if "halo" in form:
        cells_backend.choose = always(HALO)
    if "all pairs" in form:
        cells_backend.choose = always(PAIRS)
        pair_tables.MOST_PAIRS = 1 << 30
    try:
        yield
    finally:
        cells_backend.choose, pair_tables.MOST_PAIRS = before


def always(way: Way) -> Callable[..., Way]:
    """A choice that is no choice."""
    return lambda _op, **_: way


@contextlib.contextmanager
def kept_grid(cells: CellGrid, *, places: Tensor) -> Iterator[None]:
    """A step takes this grid and these hidden cells (P,), and asks the device for neither."""
    before = model_module.CellGrid, restoration.hidden_patches

    def hidden_patches(output: Any) -> Any:
        prediction, goal, valid = (
            target.gather_patches(volume, positions=places, cell=output.cells.cell)
            for volume in (output.prediction, output.volume.detach(), output.valid[:, None])
        )
        prediction, goal = target.at_least_single(prediction), target.at_least_single(goal)
        scored = valid.expand_as(goal)
        if output.target == "patch_normalised":
            statistics = target.patch_statistics(goal, valid=valid)
            goal = statistics.normalise(goal)
            scored = scored & statistics.contrast
        return target.HiddenPatches(places, prediction, goal, scored)

    model_module.CellGrid = lambda visible, cell: cells  # noqa: ARG005
    restoration.hidden_patches = hidden_patches
    try:
        yield
    finally:
        model_module.CellGrid, restoration.hidden_patches = before


def sum_out_of_place(backbone: nn.Module) -> None:
    """Give a WaveFormer's mixers their sums out of place: in place they stop the compiler."""

    def forward(self: Any, x: Any) -> Any:
        tokens = mixer.tokens_of(x, block=mixer.block_of(self.levels))
        blocks = mixer.split_blocks(mixer.boxes_of(x), levels=self.levels)
        normed = self.norm(blocks)
        mean = normed.mean((2, 4, 6))
        new = self.attention(mean.flatten(0, 3), tokens).view_as(mean)
        return mixer.like(x, mixer.join_blocks(normed + spread(new - mean) + blocks))

    for module in backbone.modules():
        if isinstance(module, mixer.HaarMixer):
            module.forward = types.MethodType(forward, module)


@contextlib.contextmanager
def cuda_choices() -> Iterator[None]:
    """On a CPU the choices of a GPU: halo boxes, of all cells at once."""
    before = cells_backend.choose, halo.CHUNK_VALUES
    cells_backend.choose = always(HALO)
    halo.CHUNK_VALUES = 1 << 62
    try:
        yield
    finally:
        cells_backend.choose, halo.CHUNK_VALUES = before
