"""What these scripts read and replace inside ssl3d: the one place to mend when its rooms move."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

from ssl3d import ExperimentSpec
from ssl3d.data import Batches, RunVolumes
from ssl3d.data.spec import DataSpec
from ssl3d.geometry import Operation, Triple
from ssl3d.kinds.batch import Batch, ViewBatch
from ssl3d.masked.inputs import given_batch
from ssl3d.plugin.registry import installed
from ssl3d.sparse import CellGrid, HiddenLevels, SparseBackend, SparseVolume, halo
from ssl3d.sparse.tables import kernel_rows
from ssl3d.tasks.pretrain.step_time import noise_batch
from ssl3d_plugins.sparse_cells import backend as cells_backend
from ssl3d_plugins.sparse_cells import fused, pair_tables
from ssl3d_plugins.sparse_cells.across import FUSED, HALO, PAIRS, Way
from ssl3d_plugins.sparse_cells.choice import edge_of
from ssl3d_plugins.sparse_cells.fused import conv as fused_conv
from ssl3d_plugins.sparse_cells.fused.blocks import Blocks
from ssl3d_plugins.sparse_cells.pair_tables import pair_groups

__all__ = [
    "FUSED",
    "HALO",
    "PAIRS",
    "Batch",
    "Batches",
    "Blocks",
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
    "fused_conv",
    "given_batch",
    "kernel_rows",
    "noise_batch",
    "pair_tables",
]

DATA_DEPENDENT = (pair_groups,)
"""Tables whose shapes depend on which cells are visible, not on their number alone."""


@contextlib.contextmanager
def ways(form: str) -> Iterator[None]:
    """How `cells` convolves: `halo` boxes or `all pairs` at once everywhere, the `fused` kernels
    where they compute the operation, else as it chooses.
    """
    before = cells_backend.choose, pair_tables.MOST_PAIRS
    if "halo" in form:
        cells_backend.choose = always(HALO)
    if "all pairs" in form:
        cells_backend.choose = always(PAIRS)
        pair_tables.MOST_PAIRS = 1 << 30
    if "fused" in form:
        cells_backend.choose = fused_where_it_fits
    try:
        yield
    finally:
        cells_backend.choose, pair_tables.MOST_PAIRS = before


def fused_where_it_fits(op: Operation, *, features: Any, **_: Any) -> Way:
    """The fused kernels, else halo boxes."""
    fits = fused_conv.fits(op, edge=edge_of(features), dtype=features.dtype)
    return FUSED if fits else HALO


@contextlib.contextmanager
def fused_cut(blocks: Blocks | None) -> Iterator[None]:
    """Cut the fused kernels so; None: as they are cut by default."""
    before = fused_conv.gather_blocks, fused_conv.correlate_blocks
    if blocks is not None:
        fused_conv.gather_blocks = fused_conv.correlate_blocks = lambda **_: blocks
    try:
        yield
    finally:
        fused_conv.gather_blocks, fused_conv.correlate_blocks = before


@contextlib.contextmanager
def interpreted(wanted: bool) -> Iterator[None]:
    """Run the fused kernels by Triton's interpreter, where there is no GPU."""
    if not wanted:
        yield
        return
    import triton

    spec = importlib.util.find_spec(f"{fused.__name__}.kernels")
    assert spec is not None
    assert spec.loader is not None
    kernels = importlib.util.module_from_spec(spec)
    with triton.knobs.runtime.scope():
        triton.knobs.runtime.interpret = True
        spec.loader.exec_module(kernels)
    fused.kernels = kernels
    try:
        yield
    finally:
        del fused.kernels


@functools.cache
def library(name: str) -> SparseBackend | None:
    """The adapter of a sparse library; None where it is not installed, which is said once."""
    config: Any = installed().config("sparse_backend", name=name)
    try:
        backend: SparseBackend = config().build()
    except ImportError as error:
        print(f"{name}: left out: {error}"[:200], flush=True)
        return None
    return backend


def always(way: Way) -> Callable[..., Way]:
    """A choice that is no choice."""
    return lambda _op, **_: way


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
