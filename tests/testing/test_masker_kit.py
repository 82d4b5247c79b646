"""The conformance kit finds maskers that break the contract."""

import random
from typing import Literal

import numpy as np
import pytest
import torch

from ssl3d.geometry import product
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.testing.masker import MaskerConformance


class BrokenConfig(MaskerConfig):
    name: Literal["broken"] = "broken"
    fault: str

    @property
    def fixed_count(self):
        return self.fault in ("a count that is not fixed", "another fixed count")

    def fewest_visible(self, grid):
        return {"shows fewer": product(grid), "another fixed count": 1}.get(self.fault)

    def build(self):
        return Broken(self)


class Broken(Masker):
    before = None

    def __call__(self, grid, *, sample, batch, hideable):
        fault = self.config.fault
        if fault == "Python's state":
            random.random()
        if fault == "NumPy's state":
            np.random.rand()
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
        if fault == "a count that is not fixed":
            hidden = scores <= scores.min() + 0.5 * torch.rand((), generator=batch)
        if fault == "keeps what it drew":
            kept = self.before is not None and self.before.shape == hidden.shape
            self.before = hidden = self.before if kept else hidden
        if fault == "changes hideable":
            hideable.fill_(True)
        if fault == "a batch of one":
            return (hidden[None],)
        return (hidden, ~hidden) if fault == "not nested" else (hidden,)


@pytest.mark.parametrize(
    ("fault", "check", "reason"),
    [
        (
            "consumes by hideable",
            "randomness_consumed_does_not_depend_on_hideable",
            "more or fewer numbers",
        ),
        (
            "a ratio by hideable",
            "randomness_consumed_does_not_depend_on_hideable",
            "more or fewer numbers",
        ),
        ("global state", "global_random_state_is_untouched", "that of torch"),
        ("Python's state", "global_random_state_is_untouched", "that of Python"),
        ("NumPy's state", "global_random_state_is_untouched", "that of NumPy"),
        ("global state", "the_same_generator_states_give_the_same_cells", "two draws from one"),
        ("keeps what it drew", "nothing_is_kept_between_draws", "what was drawn before"),
        ("shows fewer", "as_many_are_visible_as_the_config_says", r"fewest_visible\(\) says"),
        ("another fixed count", "as_many_are_visible_as_the_config_says", r"each, and fewest_vis"),
        ("a count that is not fixed", "as_many_are_visible_as_the_config_says", "says all alike"),
        (
            "changes hideable",
            "only_hideable_cells_are_hidden_and_not_all_of_them",
            "is not its own",
        ),
        (
            "ignores hideable",
            "only_hideable_cells_are_hidden_and_not_all_of_them",
            "an unhideable cell",
        ),
        ("hides all", "every_crop_has_a_hidden_and_a_visible_cell", "at least one and not all"),
        ("hides all", "crops_of_one_batch_hide_different_cells", "hide the same cells"),
        ("batch for sample", "crops_of_one_batch_hide_different_cells", "hide the same cells"),
        ("a batch of one", "levels_are_boolean_cells_on_the_cpu_and_nested", "level 0 is"),
        ("not nested", "levels_are_boolean_cells_on_the_cpu_and_nested", "2 levels, announced 1"),
        ("none", "a_grid_of_one_cell_is_an_error", "should object"),
    ],
)
def test_a_fault_is_found(fault, check, reason):
    kit = MaskerConformance()
    kit.config = BrokenConfig(fault=fault)
    with pytest.raises(AssertionError, match=reason):
        getattr(kit, f"test_{check}")()
