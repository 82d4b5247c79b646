"""What a stranger's views give is looked at before a batch is made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from ssl3d.kinds.masker import Masker
from ssl3d.kinds.view import Region, View
from ssl3d.kinds.views import Made, views_of
from ssl3d.streams import Seeds
from ssl3d.testing.views_under_test import ViewsUnderTest
from ssl3d_plugins.maskers import MiM
from ssl3d_plugins.views import Nested
from ssl3d_plugins.views.crop_views import NestedViews

UNDER_TEST = ViewsUnderTest(Nested(), MiM(global_block=1))


class Spoilt(NestedViews):
    """Nested views, and what is done to them."""

    spoil: Callable[[Made], Made]

    def __call__(self, region: Region, *, masker: Masker, seeds: Seeds) -> Made:
        return self.spoil(super().__call__(region, masker=masker, seeds=seeds))


def made(spoil: Callable[[Made], Made]) -> Made:
    config, patch, masker = UNDER_TEST.config, UNDER_TEST.patch, UNDER_TEST.masker
    views = Spoilt(
        config,
        cell=UNDER_TEST.cell,
        levels=config.levels(patch, cell=UNDER_TEST.cell, masker=masker),
        extent=config.extent(patch),
    )
    views.spoil = spoil
    seeds = Seeds(0, sample=0, first=0)
    return views_of(UNDER_TEST.region(), views=views, masker=masker.build(), seeds=seeds)


def second(change: Callable[[View], View]) -> Callable[[Made], Made]:
    """Another view in the second level."""
    return lambda views: (views[0], tuple(map(change, views[1])))


def test_what_is_right_is_given_on() -> None:
    views = made(lambda views: views)
    assert [len(level) for level in views] == [1, 1]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda views: views[:1], "gives [1] views of its levels: it announces [1, 1]"),
        (lambda views: (*views, views[1]), "gives [1, 1, 1] views of its levels"),
        (lambda views: (views[0], views[1] * 2), "gives [1, 2] views of its levels"),
        (second(lambda view: replace(view, volume=view.volume[:, 1:])), "of ((7, 12, 32), "),
        (second(lambda view: replace(view, valid=view.valid[1:])), "of shape (7, 12, 32) on cpu"),
        (second(lambda view: replace(view, valid=view.valid.float())), "torch.float32 of shape"),
        (second(lambda view: replace(view, hidden=view.hidden * 2)), "a view of level 1 has"),
        (second(lambda view: replace(view, hidden=())), "a view of level 1 has volume"),
        (second(lambda view: replace(view, visible=view.valid)), "a view of level 1 has volume"),
        (
            second(lambda view: replace(view, visible=torch.ones_like(view.visible))),
            "a view of level 1 shows a cell that it hides",
        ),
    ],
)
def test_what_is_wrong_is_said_and_the_views_named(
    spoil: Callable[[Made], Made], message: str
) -> None:
    with pytest.raises(ValueError, match="views 'nested'") as caught:
        made(spoil)
    assert message in str(caught.value)
