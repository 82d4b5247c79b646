"""Views under test, and the region that they are made of: each voxel holds its coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from ssl3d.data.region import TensorRegion
from ssl3d.geometry import Triple, divides, product, quotient, show, times
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.resized import resized_valid
from ssl3d.kinds.view import View
from ssl3d.kinds.views import Made
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d.streams import Seeds
from ssl3d.testing.check import require


class Levels(MaskerConfig):
    """Stands for a masker of a number of levels; it is asked and never made."""

    name: Literal["levels"] = "levels"
    number: int

    def weights(self) -> tuple[float, ...]:
        """Unlike, one for each."""
        return tuple(1.0 / (1 + level) for level in range(self.number))


class Recording(Masker):
    """Another masker, and the states of the generators that it is given.

    Attributes:
        states: of the sample's and of the batch's generator, call by call.
    """

    def __init__(self, config: MaskerConfig) -> None:
        super().__init__(config)
        self.states: list[tuple[bytes, bytes]] = []
        self._masker = config.build()

    def __call__(
        self, grid: Triple, *, sample: Generator, batch: Generator, hideable: Tensor
    ) -> tuple[Tensor, ...]:
        """What the other one draws."""
        sample_state, batch_state = (g.get_state().numpy().tobytes() for g in (sample, batch))
        self.states.append((sample_state, batch_state))
        return self._masker(grid, sample=sample, batch=batch, hideable=hideable)


@dataclass(frozen=True)
class ViewsUnderTest:
    """Views and what they are tried on.

    Attributes:
        config: the views' options.
        masker: draws what is hidden.
        patch: voxels per axis, unlike on each.
        cell: voxels per cell.
    """

    config: ViewsConfig
    masker: MaskerConfig
    patch: Triple = (8, 12, 32)
    cell: Triple = (2, 2, 4)

    @property
    def extent(self) -> Triple:
        """Of the region."""
        return self.config.extent(self.patch)

    def region(self, *, padded: bool = False) -> TensorRegion:
        """A region whose three channels are z, y and x; twice these, for views of partners.

        Args:
            padded: a third of it, along x, and a few voxels elsewhere are not valid.
        """
        axes = (torch.arange(edge, dtype=torch.float32) for edge in self.extent)
        volume = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        valid = torch.ones(self.extent, dtype=torch.bool)
        if padded:
            valid[..., -(self.extent[2] // 3) :] = False
            valid[::5, ::5, ::5] = False
        volume = torch.cat([volume] * (2 if self.config.partners else 1))
        return TensorRegion(volume * valid, valid)

    def make(
        self,
        region: TensorRegion | None = None,
        *,
        masker: Masker | None = None,
        seed: int = 0,
        sample: int = 0,
        first: int = 0,
    ) -> Made:
        """The views of a sample; region and masker are made where none is given."""
        views = self.config.build(patch=self.patch, cell=self.cell, masker=self.masker)
        return views(
            self.region() if region is None else region,
            masker=self.masker.build() if masker is None else masker,
            seeds=Seeds(seed, sample=sample, first=first),
        )

    def each(self, *, samples: int = 4) -> Iterator[tuple[TensorRegion, Made]]:
        """The region and the views of some samples, of a whole region and of a padded one."""
        for padded in (False, True):
            for sample in range(samples):
                region = self.region(padded=padded)
                yield region, self.make(region, sample=sample)

    def valid_of(self, view: View) -> Tensor:
        """(D, H, W) bool: what is valid of a view, at the level's size."""
        gd, gh, gw = view.visible.shape
        return resized_valid(view.valid[None], size=times((gd, gh, gw), self.cell))[0]

    def cells_of(self, voxels: Tensor, *, share: float) -> Tensor:
        """(D, H, W) bool to (Gd, Gh, Gw): cells of which at least this share is True."""
        d, h, w = voxels.shape
        found = torch.zeros(quotient((d, h, w), self.cell), dtype=torch.bool)
        for place in torch.cartesian_prod(*map(torch.arange, found.shape)).tolist():
            box = tuple(slice(p * c, p * c + c) for p, c in zip(place, self.cell, strict=True))
            found[tuple(place)] = voxels[box].float().mean() >= share
        return found

    def require_levels(self, patch: Triple, *, masker: MaskerConfig) -> None:
        """Raise AssertionError where there is no level of whole cells, or views have others."""
        levels = self.config.levels(patch, cell=self.cell, masker=masker)
        require(bool(levels), "levels() gives none")
        for number, level in enumerate(levels):
            require(level.count >= 1, f"level {number} has {level.count} views")
            require(level.weight > 0, f"level {number} has the weight {level.weight}")
            require(bool(level.hidden), f"level {number} restores nothing that is hidden")
            whole = divides(self.cell, level.size)
            require(whole, f"level {number}: {show(level.size)} voxels are no whole cells")
            most = product(quotient(level.size, self.cell))
            right = level.shown is None or 0 <= level.shown < most
            require(right, f"level {number} announces {level.shown} of {most} cells that it shows")
        built = self.config.build(patch=patch, cell=self.cell, masker=masker)
        require(built.levels == levels, "the views have other levels than their config")
        extent = self.config.extent(patch)
        require(built.extent == extent, "the views have another extent than their config")
