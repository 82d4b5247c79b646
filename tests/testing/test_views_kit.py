"""The kit for views: it holds for three levels, and each of its tests finds what is wrong."""

from __future__ import annotations

import pytest
import torch
from toy_views import Magnified, Wrong

from ssl3d.data.collate import Sample, collate
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d.testing.views import ViewsConformance
from ssl3d.testing.views_under_test import ViewsUnderTest
from ssl3d_plugins.maskers import MiM

KIT_TESTS = {name for name in vars(ViewsConformance) if name.startswith("test_")}
MASKER = MiM(global_ratio=0.6)

FOUND = [
    ("half a cell", "problems_and_levels_agree", "no whole cells"),
    ("no such option", "problems_and_levels_agree", "'count', which is no option"),
    ("a level too many", "there_are_as_many_views_as_levels_say_and_of_that_size", "announced"),
    ("double", "there_are_as_many_views_as_levels_say_and_of_that_size", "expected torch.float32"),
    ("flipped", "places_are_exact", "shows another place"),
    ("moved", "places_are_exact", "shows another place"),
    ("all valid", "places_are_exact", "shows another place"),
    ("not zero", "places_are_exact", "must be 0 where it is not valid"),
    ("not nested", "hidden_levels_are_boolean_cells_on_the_cpu_and_nested", "leaves the level"),
    ("numbers", "hidden_levels_are_boolean_cells_on_the_cpu_and_nested", "torch.float32"),
    ("padding is visible", "visible_is_what_is_not_hidden_and_has_a_valid_voxel", "is not what"),
    ("moved", "children_lie_inside_hidden_cells_of_their_parents", "its box says"),
    ("another parent", "children_lie_inside_hidden_cells_of_their_parents", "lies"),
    ("a parent without a box", "children_lie_inside_hidden_cells_of_their_parents", "without a"),
    ("parents show their children", "children_lie_inside_hidden_cells_of_their_parents", "shows"),
    ("what was drawn before", "the_same_seeds_give_the_same_views", "after others were made"),
    ("global state", "the_same_seeds_give_the_same_views", "after others were made"),
    ("one sample for all", "another_sample_hides_other_cells", "hide the same cells"),
    ("sample for batch", "first_alone_decides_what_is_alike_in_a_batch", "for another sample"),
    ("first for sample", "first_alone_decides_what_is_alike_in_a_batch", "depends on `first`"),
    ("no batch", "first_alone_decides_what_is_alike_in_a_batch", "does not depend on `first`"),
    ("one draw for all views", "first_alone_decides_what_is_alike_in_a_batch", "are one"),
    ("one stream", "streams_do_not_meet", "does not depend on the stream"),
    ("global state", "global_random_state_and_the_region_are_untouched", "random state was used"),
    ("the region changes", "global_random_state_and_the_region_are_untouched", "was changed"),
    ("no JSON", "the_config_survives_json", "fault"),
]


class TestMagnified(ViewsConformance):
    config = Magnified()
    masker = MASKER


def call(config: ViewsConfig, test: str) -> None:
    """Call a test of the kit on views."""
    kit = ViewsConformance()
    kit.config, kit.masker = config, MASKER
    getattr(kit, f"test_{test}")()


@pytest.mark.parametrize(("fault", "test", "reason"), FOUND, ids=[f"{f}-{t}" for f, t, _ in FOUND])
def test_what_is_wrong_is_found(fault: str, test: str, reason: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=reason):
        call(Wrong(fault=fault), test)


def test_every_test_of_the_kit_finds_something() -> None:
    assert {f"test_{test}" for _, test, _ in FOUND} == KIT_TESTS


def test_collated_children_know_their_row_and_place_in_the_level_before() -> None:
    """Mask-in-mask holds through collation: the child's voxels are hidden in its parent's row."""
    views = ViewsUnderTest(Magnified(), MASKER)
    levels = views.config.levels(views.patch, cell=views.cell, masker=MASKER)
    samples = [Sample(views.make(sample=n), number=n, source=str(n)) for n in range(3)]
    batch = collate(samples, levels=levels, cell=views.cell)
    assert [len(one) for one in batch.views] == [3, 6, 12]
    assert batch.views[0].parent is None
    for before, level in zip(batch.views, batch.views[1:], strict=False):
        assert level.parent is not None
        assert level.parent_box is not None
        assert torch.equal(level.parent, torch.arange(len(level)) // 2)
        for row, parent, (corner, extent) in zip(
            range(len(level)), level.parent.tolist(), level.parent_box.tolist(), strict=True
        ):
            z, y, x = corner
            assert extent == [1, 1, 1]
            assert before.hidden.levels[0][parent, z, y, x]
            assert not before.cells.visible[parent, z, y, x]
            # A child shows coordinates between those of the parent's hidden cell.
            cd, ch, cw = views.cell
            hidden = before.volume[parent, :, z * cd :, y * ch :, x * cw :][:, :cd, :ch, :cw]
            shown = level.volume[row].flatten(1)
            assert (shown.amin(1) >= hidden.flatten(1).amin(1)).all()
            assert (shown.amax(1) <= hidden.flatten(1).amax(1)).all()
