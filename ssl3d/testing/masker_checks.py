"""What every masker must do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl3d.geometry import Triple, product, show
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.sparse import HiddenLevels
from ssl3d.testing.check import check, checks_of, refused, require, survives_json

BATCH = 5


@dataclass(frozen=True)
class MaskerUnderTest:
    """A masker and the grids to try it on.

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
        """The grids that the config has no problem with."""
        usable = [grid for grid in self.grids if not list(self.config.problems(grid=grid))]
        require(bool(usable), f"{self.config!r} works on none of {self.grids}: set `grids`")
        return usable


def patterns(grid: Triple) -> Iterator[Tensor]:
    """Hideable cells (B, Gd, Gh, Gw) from few to many; sample 0 has none, sample 1 has one."""
    random = torch.Generator().manual_seed(1)
    for share in (0.1, 0.5, 0.9):
        hideable = torch.rand((BATCH, *grid), generator=random) < share
        hideable[:2] = False
        hideable[1, 0, 0, -1] = True
        hideable[2] = True
        yield hideable


@check()
def levels_are_boolean_cells_on_the_cpu_and_nested(masker: MaskerUnderTest) -> None:
    """As many levels as the config says, each inside the one before."""
    for grid in masker.usable_grids():
        levels, announced = masker.draw(grid)[0].levels, masker.config.levels()
        require(len(levels) == announced, f"{len(levels)} levels, announced {announced}")
        outer = torch.ones(BATCH, *grid, dtype=torch.bool)
        for number, level in enumerate(levels):
            found = f"{level.dtype} of shape {tuple(level.shape)} on {level.device.type}"
            wanted = f"torch.bool of shape {tuple(outer.shape)} on cpu"
            require(found == wanted, f"level {number} is {found}, expected {wanted}")
            require(
                not bool((level & ~outer).any()),
                f"level {number} hides cells that level {number - 1} shows, on {show(grid)}",
            )
            outer = level


@check()
def every_sample_has_a_hidden_and_a_visible_cell(masker: MaskerUnderTest) -> None:
    """Whatever the seed."""
    for grid in masker.usable_grids():
        for seed in range(5):
            counts = masker.draw(grid, seed=seed)[0].levels[0].flatten(1).sum(1).tolist()
            require(
                all(0 < count < product(grid) for count in counts),
                f"hides {counts} of {product(grid)} cells: at least one and not all",
            )


@check()
def only_hideable_cells_are_hidden_and_not_all_of_them(masker: MaskerUnderTest) -> None:
    """Where two cells or more may be hidden, one is and one is not."""
    for grid in masker.usable_grids():
        for hideable in patterns(grid):
            hidden = masker.draw(grid, hideable=hideable)[0].levels[0]
            on = f"on {show(grid)}"
            require(not bool((hidden & ~hideable).any()), f"an unhideable cell is hidden {on}")
            several = hideable.flatten(1).sum(1) >= 2
            require(bool(hidden.flatten(1).any(1)[several].all()), f"nothing hidden {on}")
            shown = (hideable & ~hidden).flatten(1).any(1)
            require(bool(shown[several].all()), f"no hideable cell is visible {on}")


@check()
def the_same_generator_state_gives_the_same_cells(masker: MaskerUnderTest) -> None:
    """A seed says it all."""
    for grid in masker.usable_grids():
        first, second = masker.draw(grid, seed=3)[0], masker.draw(grid, seed=3)[0]
        same = all(map(torch.equal, first.levels, second.levels))
        require(same, "two draws from one state of the generator differ")


@check()
def different_seeds_give_different_cells(masker: MaskerUnderTest) -> None:
    """On the largest grid, among eight seeds."""
    grid = max(masker.usable_grids(), key=product)
    drawn = [masker.draw(grid, seed=seed)[0].levels[0] for seed in range(8)]
    differ = any(not torch.equal(drawn[0], other) for other in drawn[1:])
    require(differ, f"eight seeds give the same cells on {show(grid)}")


@check()
def randomness_consumed_does_not_depend_on_hideable(masker: MaskerUnderTest) -> None:
    """Or what is drawn next would."""
    for grid in masker.usable_grids():
        state = masker.draw(grid)[1]
        for hideable in patterns(grid):
            after = masker.draw(grid, hideable=hideable)[1]
            require(torch.equal(state, after), f"more or fewer numbers are drawn on {show(grid)}")


@check()
def a_sample_depends_on_its_own_hideable_cells_alone(masker: MaskerUnderTest) -> None:
    """Ranks draw for the global batch and keep their rows."""
    for grid in masker.usable_grids():
        for hideable in patterns(grid):
            mixed = torch.cat([~hideable[:3], hideable[3:]])
            drawn = masker.draw(grid, hideable=hideable)[0]
            again = masker.draw(grid, hideable=mixed)[0]
            for level, other in zip(drawn.levels, again.levels, strict=True):
                require(torch.equal(level[3:], other[3:]), f"samples are mixed on {show(grid)}")


@check()
def global_random_state_is_untouched(masker: MaskerUnderTest) -> None:
    """The generator is the only source of randomness."""
    before = torch.get_rng_state()
    masker.draw(masker.usable_grids()[0])
    require(torch.equal(before, torch.get_rng_state()), "global random state was used")


@check()
def a_grid_of_one_cell_is_an_error(masker: MaskerUnderTest) -> None:
    """Nothing could stay visible."""
    check_refused(masker, (1, 1, 1))


@check()
def what_validation_objects_to_also_raises(masker: MaskerUnderTest) -> None:
    """Validation and masker agree on the grids that cannot work."""
    for grid in masker.grids:
        if list(masker.config.problems(grid=grid)):
            check_refused(masker, grid)


def check_refused(masker: MaskerUnderTest, grid: Triple) -> None:
    """A grid that is refused by validation, on an option that exists, and by the masker."""
    config = masker.config
    problems = list(config.problems(grid=grid))
    require(bool(problems), f"{config!r} should object to a grid of {show(grid)} cells")
    for problem in problems:
        known = problem.option in type(config).model_fields
        require(known, f"problems() names {problem.option!r}, which is no option")
        require(bool(problem.message), f"the problem of {problem.option!r} says nothing")
    with refused(f"a grid of {show(grid)} cells"):
        masker.draw(grid)


@check()
def the_config_survives_json(masker: MaskerUnderTest) -> None:
    """Specs are stored as JSON."""
    survives_json(masker.config)


CHECKS = checks_of(globals())
