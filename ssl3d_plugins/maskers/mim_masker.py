"""The masker `mim`."""

from __future__ import annotations

from torch import Generator, Tensor

from ssl3d.geometry import Triple
from ssl3d.kinds.masker import Masker
from ssl3d_plugins.maskers.blocks import fit_block, fit_inner_block
from ssl3d_plugins.maskers.draw import checked, draw_ratio, draw_scores, hide_blocks
from ssl3d_plugins.maskers.mim_config import MiM


class MiMMasker(Masker):
    """Hides coarse blocks, and draws finer blocks inside them; the options are `MiM`'s."""

    config: MiM

    def __call__(
        self, grid: Triple, *, sample: Generator, batch: Generator, hideable: Tensor
    ) -> tuple[Tensor, ...]:
        """Two levels, each (Gd, Gh, Gw), the second inside the first.

        Level 1 is drawn among the cells of level 0 as level 0 is among the hideable cells, so it
        leaves at least one of them out. It is empty where level 0 has fewer than two cells; both
        are empty in a crop with fewer than two hideable cells.

        Raises:
            ValueError: see `Masker.__call__`.
        """
        options = self.config
        outer = fit_block(options.global_block, grid=grid)
        inner = fit_inner_block(options.local_block, outer=outer)
        among = checked(hideable, grid=grid)
        levels: list[Tensor] = []
        for block, range_ in ((outer, options.global_ratio), (inner, options.local_ratio)):
            ratio = draw_ratio(range_, generator=batch)
            scores = draw_scores(grid, generator=sample)
            among = hide_blocks(scores, among=among, block=block, ratio=ratio)
            levels.append(among)
        return tuple(levels)
