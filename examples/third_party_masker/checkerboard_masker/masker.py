"""The masker `checkerboard`."""

from __future__ import annotations

import torch
from torch import Tensor

from checkerboard_masker.config import Checkerboard
from ssl3d.geometry import Triple
from ssl3d.kinds.masker import Masker
from ssl3d.sparse import HiddenLevels


class CheckerboardMasker(Masker):
    """Hides one colour of a chessboard; see `Checkerboard` for the options."""

    config: Checkerboard

    def __call__(
        self,
        grid: Triple,
        *,
        batch_size: int,
        generator: torch.Generator,
        hideable: Tensor | None = None,
    ) -> HiddenLevels:
        """One level (B, Gd, Gh, Gw); see `ssl3d.kinds.masker.Masker`.

        Raises:
            ValueError: the grid holds one square only.
        """
        for problem in self.config.problems(grid=grid):
            raise ValueError(f"masker.{problem.option}: {problem.message}")
        # Everything is drawn before `hideable` is looked at, so it changes no other sample.
        colour = torch.randint(2, (batch_size, 1, 1, 1), generator=generator)
        score = torch.rand((batch_size, *grid), generator=generator)
        z, y, x = torch.meshgrid(
            *(torch.arange(n) // self.config.block for n in grid), indexing="ij"
        )
        allowed = torch.ones_like(score, dtype=torch.bool) if hideable is None else hideable
        black = ((z + y + x) % 2 == colour) & allowed
        hidden = black & (score >= self.config.keep)
        return HiddenLevels((_balanced(hidden, allowed=allowed, score=score),))


def _balanced(hidden: Tensor, *, allowed: Tensor, score: Tensor) -> Tensor:
    """Turn one cell over where a sample would have no hidden cell, or no allowed one visible."""
    cells, allowed = hidden.flatten(1).clone(), allowed.flatten(1)
    count, total = cells.sum(1), allowed.sum(1)
    wrong = ((count == 0) | (count == total)) & (total >= 2)
    one = torch.where(allowed, score.flatten(1), -1.0).argmax(1)
    cells[wrong, one[wrong]] ^= True
    return cells.view_as(hidden)
