"""The masker `random`."""

from __future__ import annotations

from torch import Generator, Tensor

from ssl3d.geometry import Triple
from ssl3d.kinds.masker import Masker
from ssl3d_plugins.maskers.blocks import fit_block
from ssl3d_plugins.maskers.draw import checked, draw_ratio, draw_scores, hide_blocks
from ssl3d_plugins.maskers.random_config import Random


class RandomMasker(Masker):
    """Hides an exact share of the blocks of each crop; the options are `Random`'s."""

    config: Random

    def __call__(
        self, grid: Triple, *, sample: Generator, batch: Generator, hideable: Tensor
    ) -> tuple[Tensor, ...]:
        """One level, (Gd, Gh, Gw); a crop with fewer than two hideable cells hides none.

        Raises:
            ValueError: see `Masker.__call__`.
        """
        block = fit_block(self.config.block, grid=grid)
        among = checked(hideable, grid=grid)
        ratio = draw_ratio(self.config.ratio, generator=batch)
        scores = draw_scores(grid, generator=sample)
        return (hide_blocks(scores, among=among, block=block, ratio=ratio),)
