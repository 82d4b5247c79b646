"""What a stranger's masker draws is looked at before it is believed."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch

from ssl3d.kinds.masker import Masker
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.view import draw_hidden
from ssl3d.streams import Seeds

GRID = (2, 2, 3)


class Two(MaskerConfig):
    """Announces two levels."""

    name: Literal["two"] = "two"

    def weights(self) -> tuple[float, ...]:
        return (1.0, 2.0)


class Giving(Masker):
    """Draws what it was told to."""

    def __init__(self, levels: Any) -> None:
        super().__init__(Two())
        self.levels = levels

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self.levels


def drawn(levels: Any) -> tuple[torch.Tensor, ...]:
    share = torch.ones(GRID)
    share[0, 0, 0] = 0.4
    return draw_hidden(share, masker=Giving(levels), seeds=Seeds(0, sample=0, first=0))


def cells(*places: int) -> torch.Tensor:
    hidden = torch.zeros(GRID, dtype=torch.bool)
    hidden.view(-1)[list(places)] = True
    return hidden


def test_what_is_right_is_given_on() -> None:
    """Cells that may not be hidden do not count, and are no error."""
    for outer, inner in (((3, 4), (4,)), ((0, 3), (0,)), ((3,), ())):
        found = drawn((cells(*outer), cells(*inner)))
        assert torch.equal(found[0], cells(*outer))
        assert torch.equal(found[1], cells(*inner))


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((), "gives nothing: it must give a tuple of 2"),
        (None, "gives NoneType: it must"),
        (cells(3), "gives torch.bool of shape (2, 2, 3) on cpu: it must give a tuple of 2"),
        ((cells(3),), "gives torch.bool of shape (2, 2, 3) on cpu: it must give a tuple of 2"),
        ((cells(3, 4), cells(4), cells(4)), "it must give a tuple of 2"),
        ((cells(3), cells(3).float()), "torch.float32 of shape (2, 2, 3) on cpu: it must"),
        ((cells(3)[None], cells(3)), "torch.bool of shape (1, 2, 2, 3) on cpu, torch.bool"),
        ((cells(3), cells(3).to("meta")), "on meta: it must"),
        ((cells(3).numpy(), cells(3)), "gives ndarray, torch.bool"),
        ((cells(3), cells(4)), "level 1 hides cells that level 0 shows"),
        ((cells(), cells()), "hides nothing: 0 of the 11 cells"),
        ((cells(*range(1, 12)), cells(4)), "hides everything: 11 of the 11 cells"),
    ],
)
def test_what_is_wrong_is_said_and_the_masker_named(levels: Any, message: str) -> None:
    with pytest.raises(ValueError, match="masker 'two'") as caught:
        drawn(levels)
    assert message in str(caught.value)
