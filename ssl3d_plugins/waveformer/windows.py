"""Attention inside windows of tokens (Swin, Liu et al. 2021, without the shift)."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.geometry import Triple, product, quotient, times
from ssl3d.sparse import CellGrid, FeatureMap, SparseVolume
from ssl3d_plugins.waveformer.tokens import Tokens, raster


def windows_of(x: FeatureMap, *, window: Triple) -> Tokens:
    """One token for each site, and each window as if it were a sample.

    A token has the slot of its place in the window; those of hidden tokens stay free, as do those
    past the far border of a grid that `window` does not divide. On a CPU windows are `packed`.
    """
    if isinstance(x, SparseVolume):
        return x.cells.table(visible_windows, stride=x.stride, window=window)
    grid = (x.shape[2], x.shape[3], x.shape[4])
    batch, each = x.shape[0], product(grid)
    places = raster(grid, device=x.device).repeat(batch, 1)
    samples = torch.arange(batch, device=x.device)[:, None].expand(-1, each).flatten()
    return all_windows(samples, places, batch=batch, grid=grid, window=window)


def visible_windows(cells: CellGrid, *, stride: Triple, window: Triple) -> Tokens:
    """The windows of the visible cells at a stage."""
    sites = cells.coordinates(stride).long()
    grid = times(cells.grid, quotient(cells.cell, stride))
    tokens = all_windows(sites[:, 0], sites[:, 1:], batch=cells.batch, grid=grid, window=window)
    # How many there are is in the draw then: a step does not ask another device for that, and a
    # compiled one has shapes of its own.
    here = sites.device.type == "cpu" and not torch.compiler.is_compiling()
    return packed(tokens) if here else tokens


def all_windows(
    samples: Tensor, places: Tensor, *, batch: int, grid: Triple, window: Triple
) -> Tokens:
    """The windows of a whole grid, those without a token too.

    Args:
        samples: (T,) which sample each token is of.
        places: (T, 3) where it stands.
        batch: number of samples.
        grid: tokens per axis.
        window: tokens per axis of a window.
    """
    z, y, x = (min(w, g) for w, g in zip(window, grid, strict=True))
    size: Triple = (z, y, x)
    of_row, slots, windows = samples, torch.zeros_like(samples), batch
    for axis, (edge, extent) in enumerate(zip(size, grid, strict=True)):
        along = -(-extent // edge)
        of_row = of_row * along + places[:, axis] // edge
        slots = slots * edge + places[:, axis] % edge
        windows *= along
    slots = of_row * product(size) + slots
    return Tokens(windows, product(size), places, slots, raster(size, device=places.device))


def packed(tokens: Tokens) -> Tokens:
    """The same windows without those that have no token, and no longer than the fullest.

    Where none has any token one window stays, so that every parameter still has a gradient.
    """
    assert tokens.slots is not None
    length, places = tokens.length, tokens.coordinates
    windows, of_row, counts = torch.unique(
        tokens.slots // length, return_inverse=True, return_counts=True
    )
    number, most = max(len(windows), 1), max((1, *counts.tolist()))
    if most == length:
        slots = of_row * length + tokens.slots % length
        return Tokens(number, length, places, slots, tokens.shared)
    rank = tokens.slots.argsort().argsort() - (counts.cumsum(0) - counts)[of_row]
    return Tokens(number, most, places, of_row * most + rank)
