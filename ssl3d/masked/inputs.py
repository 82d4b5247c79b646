"""What a step starts from, checked: voxels that are data, and hidden cells, given or drawn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl3d.geometry import Triple, show
from ssl3d.kinds.masker import Masker
from ssl3d.sparse import HiddenLevels, grid_of, split_cells
from ssl3d.sparse.hidden import voxels_to_cells


def checked_valid(valid: Tensor | None, *, volume: Tensor) -> Tensor:
    """(B, D, H, W) bool as given, or all True; raises ValueError for another shape or type."""
    shape = (volume.shape[0], *volume.shape[2:])
    if valid is None:
        return torch.ones(shape, dtype=torch.bool, device=volume.device)
    if valid.dtype != torch.bool or tuple(valid.shape) != shape:
        raise ValueError(
            f"valid must be boolean of shape {shape}, got {valid.dtype} of shape "
            f"{tuple(valid.shape)}"
        )
    return valid


def valid_share(valid: Tensor, *, cell: Triple) -> Tensor:
    """(B, Gd, Gh, Gw): share of valid voxels in each cell."""
    boxes = split_cells(valid[:, None], cell=cell)
    grid = grid_of(valid[:, None], cell=cell)
    return boxes.flatten(1).float().mean(1).view(len(valid), *grid)


def given_levels(
    hidden: HiddenLevels | Tensor | Sequence[Tensor], *, volume: Tensor, cell: Triple
) -> HiddenLevels:
    """Levels in cells from what a caller gave; raises ValueError where they do not fit."""
    if isinstance(hidden, HiddenLevels):
        levels = hidden
    else:
        given = (hidden,) if isinstance(hidden, Tensor) else tuple(hidden)
        size = tuple(volume.shape[2:])
        cells = tuple(
            voxels_to_cells(level, cell=cell) if tuple(level.shape[1:]) == size else level
            for level in given
        )
        levels = HiddenLevels(cells, weights=(1.0,) * len(cells))
    expected = (len(volume), *grid_of(volume, cell=cell))
    if tuple(levels.levels[0].shape) != expected:
        raise ValueError(
            f"hidden has shape {tuple(levels.levels[0].shape)}; it must be {expected}, one "
            f"value for each cell of {show(cell)} voxels, or one for each voxel"
        )
    return levels


def check_drawn(levels: HiddenLevels, *, masker: Masker, hideable: Tensor | None) -> HiddenLevels:
    """The levels that a masker drew, as they are.

    Raises:
        ValueError: the masker hides all or none of the hideable cells of a sample that has two or
            more; names the masker.
    """
    hidden = levels.levels[0]
    allowed = torch.ones_like(hidden) if hideable is None else hideable
    total = allowed.flatten(1).sum(1)
    count = (hidden & allowed).flatten(1).sum(1)
    wrong = ((count == 0) | (count == total)) & (total >= 2)
    if bool(wrong.any()):
        sample = int(wrong.nonzero()[0])
        hides = "everything" if count[sample] else "nothing"
        raise ValueError(
            f"masker {getattr(masker, 'name', type(masker).__name__)!r} hides {hides}: "
            f"{int(count[sample])} of the {int(total[sample])} cells that it may hide in sample "
            f"{sample}; at least one must be hidden and one shown. Set its options otherwise, or "
            "take another masker"
        )
    return levels
