"""A view: one crop of one sample as the encoder shall see it, made where the data is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.sparse import grid_of, split_cells
from ssl3d.sparse.hidden import check_levels, described
from ssl3d.streams import Seeds


class Region(Protocol):
    """What data cut around a sample, flips applied.

    Attributes:
        extent: voxels per axis.
        channels: of the volume.
    """

    @property
    def extent(self) -> Triple: ...
    @property
    def channels(self) -> int: ...

    def read(self, corner: Triple, extent: Triple, *, size: Triple) -> tuple[Tensor, Tensor]:
        """A box of it, resampled to `size` voxels.

        Args:
            corner: first voxel (z, y, x), inside the region.
            extent: voxels per axis of the region; the box lies inside it.
            size: voxels per axis of the result.

        Returns:
            The volume (C, *size) float32, 0 where not valid, and what is valid (*size) bool.
        """


@dataclass(frozen=True, eq=False)
class View:
    """One crop of one sample, on the CPU.

    Attributes:
        volume: (C, D, H, W), 0 where not valid; at the size that was read. Where that is smaller
            than the level's it is enlarged on the device, see `resized`.
        valid: (D, H, W) bool.
        hidden: nested levels, each (Gd, Gh, Gw) bool, cells of the level's size.
        visible: (Gd, Gh, Gw) bool: not hidden, and some voxel is valid.
        corner: first voxel in the region.
        extent: voxels of the region that it shows.
        parent: which view of the level before it lies in, of this sample; None where in none.
        parent_box: corner and extent in the parent's cells; None where it has no parent.
    """

    volume: Tensor
    valid: Tensor
    hidden: tuple[Tensor, ...]
    visible: Tensor
    corner: Triple
    extent: Triple
    parent: int | None = None
    parent_box: tuple[Triple, Triple] | None = None


def valid_share(valid: Tensor, *, cell: Triple) -> Tensor:
    """(D, H, W) bool to (Gd, Gh, Gw): share of valid voxels in each cell."""
    grid = grid_of(valid[None, None], cell=cell)
    if bool(valid.all()):
        return torch.ones(grid)
    return split_cells(valid[None, None], cell=cell).flatten(1).float().mean(1).view(grid)


def visible_cells(share: Tensor, *, hidden: Tensor) -> Tensor:
    """(Gd, Gh, Gw) bool: cells that are not hidden and hold a valid voxel.

    Others are neither encoded nor restored.

    Args:
        share: what `valid_share` gives.
        hidden: (Gd, Gh, Gw) bool.
    """
    return ~hidden & (share > 0)


def draw_hidden(
    share: Tensor, *, masker: Masker, seeds: Seeds, number: int = 0
) -> tuple[Tensor, ...]:
    """What a masker hides of a crop: nested levels, each (Gd, Gh, Gw) bool.

    Cells of which at least half of the voxels are valid may be hidden.

    Args:
        share: what `valid_share` gives.
        masker: draws.
        seeds: of the sample.
        number: of the draw, where a sample has several.

    Raises:
        ValueError: what the masker gives is not as many nested levels as its config has weights, or
            hides all or none of two hideable cells or more; names it.
    """
    hideable = share >= 0.5
    gd, gh, gw = hideable.shape
    levels = masker(
        (gd, gh, gw),
        sample=seeds.of_sample(number),
        batch=seeds.of_batch(number),
        hideable=hideable,
    )
    _check_drawn(levels, masker=masker, hideable=hideable)
    total, count = int(hideable.sum()), int((levels[0] & hideable).sum())
    if total >= 2 and count in (0, total):
        raise ValueError(
            f"masker {masker.name!r} hides {'everything' if count else 'nothing'}: {count} of the "
            f"{total} cells that it may hide in a crop; at least one must be hidden and one shown. "
            "Set its options otherwise, or take another masker"
        )
    return levels


def _check_drawn(levels: object, *, masker: Masker, hideable: Tensor) -> None:
    """Raise ValueError where these are no nested levels as the masker announces them."""
    assert isinstance(masker.config, MaskerConfig)
    number, wanted = len(masker.config.weights()), described(hideable)
    if not isinstance(levels, tuple) or [*map(described, levels)] != [wanted] * number:
        given = described(levels)
        if isinstance(levels, tuple):
            given = ", ".join(map(described, levels)) or "nothing"
        raise ValueError(
            f"masker {masker.name!r} gives {given}: it must give a tuple of {number}, one for each "
            f"weight of its config, each {wanted}"
        )
    try:
        check_levels(levels, weights=(1.0,) * number)
    except ValueError as error:
        raise ValueError(f"masker {masker.name!r}: {error}") from error
