"""The contract of a masker as tests, for ours and for anyone's.

class TestMine(MaskerConformance):
    config = MyMasker(ratio=0.5)
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from ssl3d.geometry import Triple, product
from ssl3d.plugin.config import MaskerConfig
from ssl3d.sparse import HiddenLevels

BATCH = 5


class MaskerConformance:
    """Subclass it in a test module and set `config`.

    Attributes:
        config: the masker's options.
        grids: grids to try; those that `config.problems` objects to must raise instead.
    """

    config: MaskerConfig
    grids: tuple[Triple, ...] = (
        (1, 1, 2),
        (1, 2, 1),
        (2, 2, 2),
        (1, 4, 4),
        (3, 3, 5),
        (4, 4, 4),
        (2, 8, 8),
        (6, 6, 6),
    )

    def draw(
        self, grid: Triple, *, seed: int = 0, hideable: Tensor | None = None
    ) -> tuple[HiddenLevels, Tensor]:
        """What the masker draws, and the generator's state afterwards."""
        generator = torch.Generator().manual_seed(seed)
        masker = self.config.build()
        levels = masker(grid, batch_size=BATCH, generator=generator, hideable=hideable)
        return levels, generator.get_state()

    def usable_grids(self) -> list[Triple]:
        """The grids that the config has no objection to."""
        usable = [grid for grid in self.grids if not list(self.config.problems(grid=grid))]
        assert usable, f"{self.config!r} works on none of {self.grids}: set `grids`"
        return usable

    def patterns(self, grid: Triple) -> Iterator[Tensor]:
        """Hideable cells (B, Gd, Gh, Gw) from few to many; sample 0 has none, sample 1 has one."""
        random = torch.Generator().manual_seed(1)
        for share in (0.1, 0.5, 0.9):
            hideable = torch.rand((BATCH, *grid), generator=random) < share
            hideable[:2] = False
            hideable[1, 0, 0, -1] = True
            hideable[2] = True
            yield hideable

    def test_levels_are_boolean_cells_on_the_cpu_and_nested(self) -> None:
        for grid in self.usable_grids():
            drawn, _ = self.draw(grid)
            assert len(drawn.levels) == self.config.levels()
            outer = torch.ones(BATCH, *grid, dtype=torch.bool)
            for level in drawn.levels:
                assert level.shape == (BATCH, *grid)
                assert level.dtype == torch.bool
                assert level.device.type == "cpu"
                assert not (level & ~outer).any(), f"levels are not nested on {grid}"
                outer = level

    def test_every_sample_has_a_hidden_and_a_visible_cell(self) -> None:
        for grid in self.usable_grids():
            for seed in range(5):
                counts = self.draw(grid, seed=seed)[0].levels[0].flatten(1).sum(1)
                assert (counts >= 1).all(), f"nothing hidden on {grid}"
                assert (counts < product(grid)).all(), f"nothing visible on {grid}"

    def test_only_hideable_cells_are_hidden_and_not_all_of_them(self) -> None:
        for grid in self.usable_grids():
            for hideable in self.patterns(grid):
                hidden = self.draw(grid, hideable=hideable)[0].levels[0]
                assert not (hidden & ~hideable).any(), f"an unhideable cell is hidden on {grid}"
                several = hideable.flatten(1).sum(1) >= 2
                assert hidden.flatten(1).any(1)[several].all(), f"nothing hidden on {grid}"
                shown = (hideable & ~hidden).flatten(1).any(1)
                assert shown[several].all(), f"no hideable cell is visible on {grid}"

    def test_the_same_generator_state_gives_the_same_cells(self) -> None:
        for grid in self.usable_grids():
            first, second = self.draw(grid, seed=3)[0], self.draw(grid, seed=3)[0]
            assert all(map(torch.equal, first.levels, second.levels))

    def test_different_seeds_give_different_cells(self) -> None:
        grid = max(self.usable_grids(), key=product)
        drawn = [self.draw(grid, seed=seed)[0].levels[0] for seed in range(8)]
        assert any(not torch.equal(drawn[0], other) for other in drawn[1:])

    def test_randomness_consumed_does_not_depend_on_hideable(self) -> None:
        for grid in self.usable_grids():
            state = self.draw(grid)[1]
            for hideable in self.patterns(grid):
                assert torch.equal(state, self.draw(grid, hideable=hideable)[1]), f"on {grid}"

    def test_a_sample_depends_on_its_own_hideable_cells_alone(self) -> None:
        for grid in self.usable_grids():
            for hideable in self.patterns(grid):
                mixed = torch.cat([~hideable[:3], hideable[3:]])
                drawn = self.draw(grid, hideable=hideable)[0]
                again = self.draw(grid, hideable=mixed)[0]
                for level, other in zip(drawn.levels, again.levels, strict=True):
                    assert torch.equal(level[3:], other[3:]), f"samples are mixed on {grid}"

    def test_global_random_state_is_untouched(self) -> None:
        grid = self.usable_grids()[0]
        before = torch.get_rng_state()
        self.draw(grid)
        assert torch.equal(before, torch.get_rng_state())

    def test_a_grid_of_one_cell_is_an_error(self) -> None:
        self.check_refused((1, 1, 1))

    def test_what_validation_objects_to_also_raises(self) -> None:
        for grid in self.grids:
            if list(self.config.problems(grid=grid)):
                self.check_refused(grid)

    def check_refused(self, grid: Triple) -> None:
        """A grid that is refused by validation, on an option that exists, and by the masker."""
        problems = list(self.config.problems(grid=grid))
        assert problems, f"{self.config!r} should object to a grid of {grid} cells"
        for problem in problems:
            assert problem.option in type(self.config).model_fields
            assert problem.message
        with pytest.raises(ValueError):  # noqa: PT011 (the message is the masker's own)
            self.draw(grid)

    def test_the_config_survives_json(self) -> None:
        again = type(self.config).model_validate_json(self.config.model_dump_json())
        assert again == self.config
