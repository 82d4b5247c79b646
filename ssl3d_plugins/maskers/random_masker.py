"""The masker `random`."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d.kinds.masker import Masker
from ssl3d.sparse import HiddenLevels
from ssl3d_plugins.maskers.blocks import fit_block
from ssl3d_plugins.maskers.draw import check_call, draw_ratio, draw_scores, hide_blocks
from ssl3d_plugins.maskers.random_config import Random


class RandomMasker(Masker):
    """Hides an exact share of the blocks of each sample; the options are `Random`'s."""

    config: Random

    def __call__(
        self,
        grid: Triple,
        *,
        batch_size: int,
        generator: torch.Generator,
        hideable: Tensor | None = None,
    ) -> HiddenLevels:
        """One level, (B, Gd, Gh, Gw); a sample with fewer than two hideable cells hides none.

        Raises:
            ValueError: see `Masker.__call__`.
        """
        block = fit_block(self.config.block, grid=grid)
        among = check_call(grid, batch_size=batch_size, generator=generator, hideable=hideable)
        ratio = draw_ratio(self.config.ratio, generator=generator)
        scores = draw_scores(grid, batch_size=batch_size, generator=generator)
        return HiddenLevels((hide_blocks(scores, among=among, block=block, ratio=ratio),))
