"""The conformance kit finds maskers that break the contract."""

from typing import Literal

import pytest
import torch

from ssl3d.kinds.masker import Masker
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.testing.masker import MaskerConformance


class BrokenConfig(MaskerConfig):
    name: Literal["broken"] = "broken"
    fault: str

    def build(self):
        return Broken(self)


class Broken(Masker):
    def __call__(self, grid, *, sample, batch, hideable):
        fault = self.config.fault
        if fault == "consumes by hideable":
            hidden = torch.zeros(grid, dtype=torch.bool)
            n = int(hideable.sum())
            hidden[hideable] = torch.rand(n, generator=sample) < 0.5
            return (hidden,)
        if fault == "a ratio by hideable" and hideable.all():
            torch.rand((), generator=batch)
        source = {"global state": None, "batch for sample": batch}.get(fault, sample)
        scores = torch.rand(grid, generator=source)
        if fault == "ignores hideable":
            return (scores < 0.5,)
        if fault == "hides all":
            return (hideable,)
        middle = scores[hideable].median() if hideable.any() else 0.5
        hidden = (scores <= middle) & hideable
        if fault == "a batch of one":
            return (hidden[None],)
        return (hidden, ~hidden) if fault == "not nested" else (hidden,)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("consumes by hideable", "randomness_consumed_does_not_depend_on_hideable"),
        ("a ratio by hideable", "randomness_consumed_does_not_depend_on_hideable"),
        ("global state", "global_random_state_is_untouched"),
        ("global state", "the_same_generator_states_give_the_same_cells"),
        ("ignores hideable", "only_hideable_cells_are_hidden_and_not_all_of_them"),
        ("hides all", "every_crop_has_a_hidden_and_a_visible_cell"),
        ("hides all", "crops_of_one_batch_hide_different_cells"),
        ("batch for sample", "crops_of_one_batch_hide_different_cells"),
        ("a batch of one", "levels_are_boolean_cells_on_the_cpu_and_nested"),
        ("not nested", "levels_are_boolean_cells_on_the_cpu_and_nested"),
        ("none", "a_grid_of_one_cell_is_an_error"),
    ],
)
def test_a_fault_is_found(fault, check):
    kit = MaskerConformance()
    kit.config = BrokenConfig(fault=fault)
    with pytest.raises(AssertionError):
        getattr(kit, f"test_{check}")()
