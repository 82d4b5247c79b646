"""The conformance kit finds maskers that break the contract."""

from typing import Literal

import pytest
import torch

from ssl3d.kinds.masker import Masker
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.sparse import HiddenLevels
from ssl3d.testing.masker import MaskerConformance


class BrokenConfig(MaskerConfig):
    name: Literal["broken"] = "broken"
    fault: str

    def build(self):
        return Broken(self.fault)


class Broken(Masker):
    def __init__(self, fault):
        self.fault = fault

    def __call__(self, grid, *, batch_size, generator, hideable=None):
        shape = (batch_size, *grid)
        hideable = torch.ones(shape, dtype=torch.bool) if hideable is None else hideable
        if self.fault == "consumes by hideable":
            hidden = torch.zeros(shape, dtype=torch.bool)
            n = int(hideable.sum())
            hidden[hideable] = torch.rand(n, generator=generator) < 0.5
            return HiddenLevels((hidden,))
        source = None if self.fault == "global state" else generator
        scores = torch.rand(shape, generator=source)
        if self.fault == "ignores hideable":
            return HiddenLevels((scores < 0.5,))
        if self.fault == "hides all":
            return HiddenLevels((hideable,))
        quantile = scores[hideable].median() if hideable.any() else 0.5
        return HiddenLevels(((scores <= quantile) & hideable,))


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("consumes by hideable", "test_randomness_consumed_does_not_depend_on_hideable"),
        ("global state", "test_global_random_state_is_untouched"),
        ("global state", "test_the_same_generator_state_gives_the_same_cells"),
        ("ignores hideable", "test_only_hideable_cells_are_hidden_and_not_all_of_them"),
        ("hides all", "test_every_sample_has_a_hidden_and_a_visible_cell"),
        ("hides all", "test_different_seeds_give_different_cells"),
        ("rows share a threshold", "test_a_sample_depends_on_its_own_hideable_cells_alone"),
        ("none", "test_a_grid_of_one_cell_is_an_error"),
    ],
)
def test_a_fault_is_found(fault, check):
    kit = MaskerConformance()
    kit.config = BrokenConfig(fault=fault)
    with pytest.raises(AssertionError):
        getattr(kit, check)()
