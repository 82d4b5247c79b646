"""The masker `checkerboard`."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from checkerboard_masker.config import Checkerboard
from ssl3d.geometry import Triple
from ssl3d.kinds.masker import Masker


class CheckerboardMasker(Masker):
    """Hides one colour of a chessboard; see `Checkerboard` for the options."""

    config: Checkerboard

    def __call__(
        self,
        grid: Triple,
        *,
        sample: Generator,
        batch: Generator,  # noqa: ARG002
        hideable: Tensor,
    ) -> tuple[Tensor, ...]:
        """One level (Gd, Gh, Gw); see `ssl3d.kinds.masker.Masker`. Nothing is alike in a batch.

        Raises:
            ValueError: the grid holds one square only.
        """
        for problem in self.config.problems(grid=grid):
            raise ValueError(f"masker.{problem.option}: {problem.message}")
        # Everything is drawn before `hideable` is looked at.
        colour = torch.randint(2, (), generator=sample)
        score = torch.rand(grid, generator=sample)
        z, y, x = torch.meshgrid(
            *(torch.arange(n) // self.config.block for n in grid), indexing="ij"
        )
        black = ((z + y + x) % 2 == colour) & hideable
        hidden = black & (score >= self.config.keep)
        return (_balanced(hidden, hideable=hideable, score=score),)


def _balanced(hidden: Tensor, *, hideable: Tensor, score: Tensor) -> Tensor:
    """Turn one cell over where no cell is hidden, or no hideable one visible."""
    count, total = int(hidden.sum()), int(hideable.sum())
    if total >= 2 and count in (0, total):
        one = torch.where(hideable, score, -1.0).argmax()
        hidden.view(-1)[one] ^= True
    return hidden
