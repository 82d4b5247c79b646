"""What a notebook gives, checked and made into the batch that data would make of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from ssl3d.data.collate import Sample, collate
from ssl3d.data.region import TensorRegion
from ssl3d.geometry import Triple, show
from ssl3d.kinds.batch import Batch
from ssl3d.kinds.level import Level
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.view import View, valid_share, visible_cells
from ssl3d.kinds.views import Views, views_of
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d.sparse import HiddenLevels, grid_of
from ssl3d.sparse.hidden import check_levels, voxels_to_cells
from ssl3d.streams import Seeds

Hidden = HiddenLevels | Tensor | Sequence[Tensor]


def given_batch(
    volume: Tensor,
    *,
    valid: Tensor | None,
    present: Tensor | None = None,
    hidden: Hidden | None,
    views: Views,
    masker: Masker,
    generator: Generator,
) -> Batch:
    """Volumes (B, C, D, H, W) as data would make a batch of them; see `PretrainModel.forward`.

    Raises:
        ValueError: something has another shape or type than it must.
    """
    grid_of(volume, cell=views.cell)
    if not len(volume):
        raise ValueError(f"volume has shape {tuple(volume.shape)}: give at least one sample")
    assert isinstance(views.config, ViewsConfig)
    if views.config.partners and present is not None:
        raise ValueError(f"present: views {views.config.name!r} are made of whole volumes")
    there = checked_present(present, volume=volume).cpu()
    regions = [
        TensorRegion(torch.where(seen & own[:, None, None, None], one, 0), seen)
        for one, seen, own in zip(
            volume.cpu(), checked_valid(valid, volume=volume).cpu(), there, strict=True
        )
    ]
    if hidden is None:
        seed = int(torch.randint(2**32, (), generator=generator))
        views = _fitting(views, extent=regions[0].extent, masker=masker)
        drawn = [
            views_of(region, views=views, masker=masker, seeds=Seeds(seed, sample=i, first=0))
            for i, region in enumerate(regions)
        ]
        levels = views.levels
    else:
        given = given_levels(hidden, volume=volume, cell=views.cell)
        drawn = [
            ((_view(region, hidden=own, cell=views.cell),),)
            for region, *own in zip(regions, *given.levels, strict=True)
        ]
        levels = (Level(1, regions[0].extent, hidden=given.weights),)
    samples = [
        Sample(one, number=i, source=f"volume {i}", present=there[i]) for i, one in enumerate(drawn)
    ]
    return collate(samples, levels=levels, cell=views.cell).to(volume.device)


def _fitting(views: Views, *, extent: Triple, masker: Masker) -> Views:
    """Views of volumes of this size, which may be another than the patch of a run.

    Raises:
        ValueError: these views are made of another size than that of a patch, and not of this one.
    """
    if extent == views.extent:
        return views
    assert isinstance(views.config, ViewsConfig)
    assert isinstance(masker.config, MaskerConfig)
    if views.config.extent(extent) != extent:
        raise ValueError(
            f"volume has {show(extent)} voxels; views {views.config.name!r} are made of "
            f"{show(views.extent)} here"
        )
    return views.config.build(patch=extent, cell=views.cell, masker=masker.config)


def _view(region: TensorRegion, *, hidden: Sequence[Tensor], cell: Triple) -> View:
    visible = visible_cells(valid_share(region.valid, cell=cell), hidden=hidden[0])
    return View(
        region.volume, region.valid, tuple(hidden), visible, corner=(0, 0, 0), extent=region.extent
    )


def checked_valid(valid: Tensor | None, *, volume: Tensor) -> Tensor:
    """(B, D, H, W) bool as given, or all True; raises ValueError for another shape or type."""
    shape = (volume.shape[0], *volume.shape[2:])
    if valid is None:
        return torch.ones(shape, dtype=torch.bool)
    if valid.dtype != torch.bool or tuple(valid.shape) != shape:
        raise ValueError(
            f"valid must be boolean of shape {shape}, got {valid.dtype} of shape "
            f"{tuple(valid.shape)}"
        )
    return valid


def checked_present(present: Tensor | None, *, volume: Tensor) -> Tensor:
    """(B, C) bool as given, or all True; raises ValueError for another shape or type, or where a
    sample has no channel.
    """
    shape = tuple(volume.shape[:2])
    if present is None:
        return torch.ones(shape, dtype=torch.bool)
    if present.dtype != torch.bool or tuple(present.shape) != shape:
        raise ValueError(
            f"present must be boolean of shape {shape}, got {present.dtype} of shape "
            f"{tuple(present.shape)}"
        )
    if not bool(present.any(1).all()):
        raise ValueError("present: a sample has no channel at all: leave it out")
    return present


def given_levels(hidden: Hidden, *, volume: Tensor, cell: Triple) -> HiddenLevels:
    """Levels in cells on the CPU from what a caller gave; ValueError where they do not fit."""
    if isinstance(hidden, HiddenLevels):
        cells, weights = tuple(level.cpu() for level in hidden.levels), hidden.weights
    else:
        given = (hidden,) if isinstance(hidden, Tensor) else tuple(hidden)
        size = tuple(volume.shape[2:])
        cells = tuple(
            voxels_to_cells(level, cell=cell) if tuple(level.shape[1:]) == size else level
            for level in (level.cpu() for level in given)
        )
        weights = (1.0,) * len(cells)
    check_levels(cells, weights=weights)
    expected = (len(volume), *grid_of(volume, cell=cell))
    if tuple(cells[0].shape) != expected:
        raise ValueError(
            f"hidden has shape {tuple(cells[0].shape)}; it must be {expected}, one value for each "
            f"cell of {show(cell)} voxels, or one for each voxel"
        )
    return HiddenLevels(cells, weights=weights)
