"""What these scripts read and replace inside ssl3d: the one place to mend when its rooms move."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from ssl3d import ExperimentSpec
from ssl3d.data import Batches, RunVolumes
from ssl3d.data.spec import DataSpec
from ssl3d.geometry import Operation, Triple
from ssl3d.kinds.batch import Batch, ViewBatch
from ssl3d.masked.inputs import given_batch
from ssl3d.sparse import CellGrid, HiddenLevels, SparseVolume, halo
from ssl3d.sparse.tables import kernel_rows
from ssl3d.tasks.pretrain.step_time import noise_batch
from ssl3d_plugins.sparse_cells import across, choice, pair_tables
from ssl3d_plugins.sparse_cells import backend as cells_backend
from ssl3d_plugins.sparse_cells.across import HALO, PAIRS, Way
from ssl3d_plugins.sparse_cells.pair_tables import pair_groups
from ssl3d_plugins.waveformer import mixer
from ssl3d_plugins.waveformer.wavelet.fused import spread

__all__ = [
    "FUSED",
    "HALO",
    "PAIRS",
    "Batch",
    "Batches",
    "CellGrid",
    "DataSpec",
    "ExperimentSpec",
    "HiddenLevels",
    "Operation",
    "RunVolumes",
    "SparseVolume",
    "Triple",
    "ViewBatch",
    "cells_backend",
    "given_batch",
    "kernel_rows",
    "noise_batch",
    "pair_tables",
]

FUSED: Way | None = getattr(across, "FUSED", None)
"""One kernel a convolution, where the project has it."""

DATA_DEPENDENT = (pair_groups,)
"""Tables whose shapes depend on which cells are visible, not on their number alone."""


@contextlib.contextmanager
def ways(form: str) -> Iterator[None]:
    """How `cells` convolves: by `halo` boxes or `all pairs` at once everywhere, `fused` wherever
    that can be, else as it chooses.
    """
    before = cells_backend.choose, pair_tables.MOST_PAIRS
    if "halo" in form:
        cells_backend.choose = always(HALO)
    if "fused" in form:
        assert FUSED is not None
        cells_backend.choose = wherever(FUSED)
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


def wherever(way: Way) -> Callable[..., Way]:
    """This way where it can compute an operation, else halo boxes."""
    return lambda op, *, features, **_: (
        way if way in choice.possible(op, features=features) else HALO  # type: ignore[attr-defined]
    )


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
