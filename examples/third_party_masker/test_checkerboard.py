"""The contract of a masker, and what is particular to this one."""

from __future__ import annotations

import torch
from checkerboard_masker import Checkerboard

from ssl3d.testing.masker import MaskerConformance


class TestCheckerboard(MaskerConformance):
    config = Checkerboard()


class TestBlocksOfWhichSomeAreShown(MaskerConformance):
    config = Checkerboard(block=2, keep=0.3)


def test_neighbours_differ() -> None:
    masker = Checkerboard(block=2).build()
    levels = masker((4, 6, 8), batch_size=3, generator=torch.Generator().manual_seed(0))
    for hidden in levels.levels[0]:
        assert torch.equal(hidden[:2], ~hidden[2:])
        assert torch.equal(hidden[:, :4], ~hidden[:, 2:])
        assert torch.equal(hidden[:, :, :6], ~hidden[:, :, 2:])
