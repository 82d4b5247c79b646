"""Which parts are hidden, and which hidden places become views of the next level.

Every part gets a score, whether or not it may be hidden, and the lowest are taken: what is drawn
depends on the number of parts alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ssl3d.geometry import Triple
from ssl3d_plugins.views.share import hidden_count


class Place(NamedTuple):
    """A part of a view that becomes one of the next level.

    Attributes:
        at: z, y, x among the parts.
        hidden: True where the view hides it; else it hides none at all.
    """

    at: Triple
    hidden: bool


def draw_scores(grid: Triple, *, generator: Generator) -> Tensor:
    """(Gd, Gh, Gw) scores, even on [0, 1). In double precision ties are out of the question."""
    return torch.rand(grid, generator=generator, dtype=torch.float64)


def lowest(scores: Tensor, *, among: Tensor, share: float) -> Tensor:
    """(Gd, Gh, Gw) bool: the share of `among` with the lowest scores, see `hidden_count`."""
    number = hidden_count(share, among=int(among.sum()))
    chosen = scores.masked_fill(~among, torch.inf).flatten().argsort()[:number]
    return torch.zeros_like(among).flatten().index_fill_(0, chosen, True).view(among.shape)


def places(scores: Tensor, *, hidden: Tensor, may: Tensor, count: int) -> list[Place]:
    """Hidden places by their scores, from the first again where they are too few.

    Where nothing is hidden it is one place, of those that may be hidden where there are any.

    Args:
        scores: (Gd, Gh, Gw) of the places.
        hidden: (Gd, Gh, Gw) bool, places that are hidden.
        may: (Gd, Gh, Gw) bool, places that may be.
        count: of places.
    """
    order = (scores - hidden.double() - may.double()).flatten().argsort().tolist()
    number = int(hidden.sum())
    _, height, width = scores.shape
    chosen = (order[i % max(number, 1)] for i in range(count))
    return [
        Place((n // (height * width), n // width % height, n % width), number > 0) for n in chosen
    ]
