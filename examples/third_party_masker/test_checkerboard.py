"""The contract of a masker, and what is particular to this one."""

from __future__ import annotations

import pytest
import torch
from checkerboard_masker import Checkerboard

from ssl3d.testing.masker import MaskerConformance
from ssl3d.testing.masker_checks import MaskerUnderTest


class TestCheckerboard(MaskerConformance):
    config = Checkerboard()


class TestBlocksOfWhichSomeAreShown(MaskerConformance):
    config = Checkerboard(block=2, keep=0.3)


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_differ(seed: int) -> None:
    drawn = MaskerUnderTest(Checkerboard(block=2)).draw((4, 6, 8), crop=seed)
    (hidden,) = drawn.levels
    assert torch.equal(hidden[:2], ~hidden[2:])
    assert torch.equal(hidden[:, :4], ~hidden[:, 2:])
    assert torch.equal(hidden[:, :, :6], ~hidden[:, :, 2:])
