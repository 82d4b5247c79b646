"""`mask_in_mask` against the paper's numbers, and against what loops over voxels find."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d import ExperimentSpec
from ssl3d.data.collate import Sample, collate
from ssl3d.data.region import TensorRegion
from ssl3d.kinds.view import View
from ssl3d.kinds.views import Made
from ssl3d.plugin.spec_error import SpecError
from ssl3d.testing.views_under_test import ViewsUnderTest
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.views import MaskInMask
from ssl3d_plugins.views.mask_in_mask_draw import places

SMALL = ViewsUnderTest(MaskInMask(), Random(), patch=(8, 8, 16), cell=(2, 2, 4))


def test_sizes_shares_and_counts_of_the_paper() -> None:
    paper = ViewsUnderTest(MaskInMask(), Random(), patch=(96, 96, 96), cell=(16, 16, 16))
    assert paper.extent == (192, 192, 192)
    region = TensorRegion(torch.rand(1, *paper.extent), torch.ones(paper.extent, dtype=torch.bool))
    outer, crops, cells = paper.make(region)
    assert [len(outer), len(crops), len(cells)] == [1, 4, 16]
    # Half of 8 octants, 60 % of 216 cells, half of 216 cells.
    assert [int(level[0].hidden[0].sum()) for level in (outer, crops, cells)] == [108, 130, 108]
    assert {view.volume.shape for view in crops} == {(1, 96, 96, 96)}
    assert {view.volume.shape for view in cells} == {(1, 16, 16, 16)}
    assert [level.size for level in paper.config.levels((96,) * 3, cell=(16,) * 3, masker=Random())]
    # Four octants are hidden and four crops taken: each is one of them.
    assert len({view.corner for view in crops}) == 4
    assert all(c in (0, 96) for view in crops for c in view.corner)
    # Halved by means of eight voxels.
    halved = region.volume[0].view(96, 2, 96, 2, 96, 2).mean((1, 3, 5))
    torch.testing.assert_close(outer[0].volume[0], halved)


def octants(view: View) -> set[tuple[int, ...]]:
    """Octants all of whose cells are hidden; those of which a part is are an error."""
    gd, gh, gw = view.hidden[0].shape
    found = set()
    for place in itertools.product((0, 1), repeat=3):
        cells = [
            bool(view.hidden[0][z, y, x])
            for z, y, x in itertools.product(range(gd), range(gh), range(gw))
            if (2 * z // gd, 2 * y // gh, 2 * x // gw) == place
        ]
        assert len(set(cells)) == 1
        if cells[0]:
            found.add(place)
    return found


@pytest.mark.parametrize("sample", range(4))
def test_whole_octants_are_hidden_and_shown_at_level_two(sample: int) -> None:
    outer, crops, cells = SMALL.make(sample=sample)
    hidden = octants(outer[0])
    assert len(hidden) == 4
    size = SMALL.patch
    found = {tuple(c // s for c, s in zip(view.corner, size, strict=True)) for view in crops}
    assert found == hidden
    for number, view in enumerate(cells):
        crop = crops[number // 4]
        at = [(a - b) // c for a, b, c in zip(view.corner, crop.corner, SMALL.cell, strict=True)]
        assert view.parent == number // 4
        assert crop.hidden[0][tuple(at)]
        assert not crop.visible[tuple(at)]
    assert len({view.corner for view in cells}) == 16, "each cell once"
    masks = {view.hidden[0].numpy().tobytes() for view in (*crops, *cells)}
    assert len(masks) == 20, "each view hides cells of its own"


def test_octants_are_drawn_evenly() -> None:
    count = torch.zeros(2, 2, 2)
    for sample in range(200):
        for place in octants(SMALL.make(sample=sample)[0][0]):
            count[place] += 1
    assert count.sum() == 800
    assert (count - 100).abs().max() < 30  # 4 standard deviations of 7


def test_level_three_enlarged_on_the_device_is_what_reading_at_that_size_gives() -> None:
    region = SMALL.region(padded=True)
    made = SMALL.make(region)
    levels = SMALL.config.levels(SMALL.patch, cell=SMALL.cell, masker=SMALL.masker)
    views = collate([Sample(made, 0, "")], levels=levels, cell=SMALL.cell).views[2]
    assert views.volume.shape[2:] == SMALL.cell
    larger = views.enlarged()
    assert larger.volume.shape[2:] == SMALL.patch
    assert larger.valid is not None
    for row, view in enumerate(made[2]):
        volume, valid = region.read(view.corner, view.extent, size=SMALL.patch)
        assert torch.equal(larger.volume[row], volume)
        assert torch.equal(larger.valid[row], valid)
    assert larger.cells is views.cells
    assert larger.enlarged() is larger


def made_of(valid: torch.Tensor, **options: Any) -> Made:
    under_test = ViewsUnderTest(MaskInMask(**options), Random(), patch=(8, 8, 16), cell=(2, 2, 4))
    volume = torch.rand(1, *valid.shape) * valid
    return under_test.make(TensorRegion(volume, valid))


def test_places_are_used_again_where_too_few_are_hidden() -> None:
    """Of two octants that hold data one is hidden: all crops are of it, and hide unlike cells."""
    valid = torch.zeros(16, 16, 32, dtype=torch.bool)
    valid[:8, :8] = True
    outer, crops, cells = made_of(valid)
    assert len(octants(outer[0])) == 1
    assert [len(crops), len(cells)] == [4, 16]
    assert len({view.corner for view in crops}) == 1
    assert all(view.parent == 0 for view in crops)
    assert len({view.hidden[0].numpy().tobytes() for view in crops}) == 4


@pytest.mark.parametrize("octant", [True, False])
def test_where_nothing_can_be_hidden_views_lie_in_none(octant: bool) -> None:
    """One octant with data, or none: counts stay, places are of data where there is any."""
    valid = torch.zeros(16, 16, 32, dtype=torch.bool)
    valid[8:, :8, 16:] = octant
    outer, crops, cells = made_of(valid)
    assert not outer[0].hidden[0].any()
    assert [len(crops), len(cells)] == [4, 16]
    assert {view.parent for view in crops} == {None}
    if octant:
        assert {view.corner for view in crops} == {(8, 0, 16)}
        assert all(view.parent is not None for view in cells)
    else:
        assert not any(view.visible.any() or view.hidden[0].any() for view in (*crops, *cells))
    levels = SMALL.config.levels(SMALL.patch, cell=SMALL.cell, masker=SMALL.masker)
    batch = collate([Sample((outer, crops, cells), 0, "")], levels=levels, cell=SMALL.cell)
    assert batch.views[1].parent is not None
    assert batch.views[1].parent.tolist() == [-1] * 4
    assert batch.views[1].parent_box is not None
    assert not batch.views[1].parent_box.any()


@settings(max_examples=25, deadline=None)
@given(
    shrink=st.tuples(*[st.integers(1, 3)] * 3).filter(lambda s: max(s) > 1),
    times=st.tuples(*[st.integers(1, 2)] * 3),
    cell=st.tuples(*[st.sampled_from([1, 2, 4])] * 3),
    crops=st.integers(1, 5),
    cells=st.integers(0, 3),
    share=st.sampled_from([0.1, 0.5, 0.9]),
    seed=st.integers(0, 99),
)
def test_any_size_and_thick_slices(shrink, times, cell, crops, cells, share, seed) -> None:
    """Everything that validation allows is made, with as many views as are announced."""
    config = MaskInMask(
        shrink=shrink, crops=crops, cells=cells, outer_share=share, inner_share=share
    )
    patch = tuple(s * t * c for s, t, c in zip(shrink, times, cell, strict=True))
    under_test = ViewsUnderTest(config, Random(), patch=patch, cell=cell)
    assert not list(config.problems(patch=patch, cell=cell, masker=Random()))
    levels = config.levels(patch, cell=cell, masker=Random())
    made = under_test.make(sample=seed)
    assert [len(views) for views in made] == [level.count for level in levels]
    for views, level in zip(made, levels, strict=True):
        for view in views:
            shown = int(view.visible.sum())
            assert 0 < shown < view.visible.numel()
            assert level.shown in (None, shown)
            if view.parent_box is not None:
                assert view.parent_box[1] == level.place


def test_places_in_the_order_of_their_scores() -> None:
    scores = torch.tensor([0.4, 0.3, 0.2, 0.1]).view(1, 2, 2)
    hidden = torch.tensor([True, True, False, False]).view(1, 2, 2)
    found = places(scores, hidden=hidden, may=hidden, count=3)
    assert found == [((0, 0, 1), True), ((0, 0, 0), True), ((0, 0, 1), True)]
    none = torch.zeros_like(hidden)
    assert places(scores, hidden=none, may=hidden, count=2) == [((0, 0, 1), False)] * 2


def problems(**parts: Any) -> dict[str, str]:
    parts = {"backbone": "waveformer", "views": "mask_in_mask", **parts}
    try:
        ExperimentSpec(**{"data": {"volumes": "none", "patch": 96}, **parts})
    except SpecError as error:
        return dict(error.problems)
    return {}


def test_what_validation_says() -> None:
    assert problems() == {}
    assert (
        "must be whole cells. Take a patch such as 96 × 96 × 96"
        in problems(data={"volumes": "none", "patch": 80})["views.shrink"]
    )
    views = {"name": "mask_in_mask", "shrink": 1}
    assert "two parts or more" in problems(views=views)["views.shrink"]
    # The masker draws on the crops of level 2.
    assert "masker.block" in problems(masker={"name": "random", "block": 4})
    assert problems(masker={"name": "random", "block": 3}) == {}
