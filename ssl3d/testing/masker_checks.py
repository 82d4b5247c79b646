"""What every masker must do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ssl3d.geometry import Triple, product, show
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.sparse.hidden import described
from ssl3d.testing.check import (
    check,
    checks_of,
    global_random_states_untouched,
    refused,
    require,
    survives_json,
)


class Drawn(NamedTuple):
    """What a masker drew.

    Attributes:
        levels: each (Gd, Gh, Gw) bool.
        states: of both generators afterwards.
    """

    levels: tuple[Tensor, ...]
    states: tuple[Tensor, Tensor]


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
        self,
        grid: Triple,
        *,
        crop: int = 0,
        micro_batch: int = 0,
        hideable: Tensor | None = None,
        masker: Masker | None = None,
    ) -> Drawn:
        """What a masker draws for a crop of a micro-batch; a new one by default."""
        sample, batch = (torch.Generator().manual_seed(2 * n) for n in (crop, 999 + micro_batch))
        if hideable is None:
            hideable = torch.ones(grid, dtype=torch.bool)
        given, masker = hideable.clone(), masker or self.config.build()
        levels = masker(grid, sample=sample, batch=batch, hideable=hideable)
        require(torch.equal(hideable, given), "the masker changes `hideable`, which is not its own")
        return Drawn(levels, (sample.get_state(), batch.get_state()))

    def usable_grids(self) -> list[Triple]:
        """The grids that the config has no problem with."""
        usable = [grid for grid in self.grids if not list(self.config.problems(grid=grid))]
        require(bool(usable), f"{self.config!r} works on none of {self.grids}: set `grids`")
        return usable


def patterns(grid: Triple) -> Iterator[Tensor]:
    """Hideable cells (Gd, Gh, Gw): none, one, few to many, all."""
    random = torch.Generator().manual_seed(1)
    one = torch.zeros(grid, dtype=torch.bool)
    yield one.clone()
    one[0, 0, -1] = True
    yield one
    for share in (0.1, 0.5, 0.9, 1.1):
        yield torch.rand(grid, generator=random) < share


@check()
def levels_are_boolean_cells_on_the_cpu_and_nested(masker: MaskerUnderTest) -> None:
    """One for each weight that the config gives, each inside the one before."""
    for grid in masker.usable_grids():
        levels, announced = masker.draw(grid).levels, len(masker.config.weights())
        require(len(levels) == announced, f"{len(levels)} levels, announced {announced} weights")
        outer = torch.ones(grid, dtype=torch.bool)
        for number, level in enumerate(levels):
            found, wanted = described(level), described(outer)
            require(found == wanted, f"level {number} is {found}, expected {wanted}")
            require(
                not bool((level & ~outer).any()),
                f"level {number} hides cells that level {number - 1} shows, on {show(grid)}",
            )
            outer = level


@check()
def every_crop_has_a_hidden_and_a_visible_cell(masker: MaskerUnderTest) -> None:
    """Whatever the states of the generators."""
    for grid in masker.usable_grids():
        for n in range(10):
            count = int(masker.draw(grid, crop=n, micro_batch=n).levels[0].sum())
            require(
                0 < count < product(grid),
                f"hides {count} of {product(grid)} cells: at least one and not all",
            )


@check()
def only_hideable_cells_are_hidden_and_not_all_of_them(masker: MaskerUnderTest) -> None:
    """Where two cells or more may be hidden, one is and one is not."""
    for grid in masker.usable_grids():
        for hideable in patterns(grid):
            hidden = masker.draw(grid, hideable=hideable).levels[0]
            on = f"on {show(grid)}"
            require(not bool((hidden & ~hideable).any()), f"an unhideable cell is hidden {on}")
            if int(hideable.sum()) >= 2:
                require(bool(hidden.any()), f"nothing hidden {on}")
                require(bool((hideable & ~hidden).any()), f"no hideable cell is visible {on}")


@check()
def the_same_generator_states_give_the_same_cells(masker: MaskerUnderTest) -> None:
    """A seed says it all."""
    for grid in masker.usable_grids():
        first, second = masker.draw(grid, crop=3), masker.draw(grid, crop=3)
        same = all(map(torch.equal, first.levels, second.levels))
        require(same, "two draws from one state of the generators differ")


@check()
def nothing_is_kept_between_draws(masker: MaskerUnderTest) -> None:
    """A masker draws for a crop what a new one does, whatever it drew before."""
    built = masker.config.build()
    for grid in masker.usable_grids():
        for crop in (3, 4, 3):
            new, used = (masker.draw(grid, crop=crop, masker=one) for one in (None, built))
            same = all(map(torch.equal, new.levels, used.levels))
            require(same, f"what is drawn on {show(grid)} depends on what was drawn before")


@check()
def as_many_are_visible_as_the_config_says(masker: MaskerUnderTest) -> None:
    """`fewest_visible` and `fixed_count`, of crops in which every cell may be hidden."""
    for grid in masker.usable_grids():
        levels = [masker.draw(grid, crop=n, micro_batch=n).levels[0] for n in range(10)]
        counts = sorted({int((~level).sum()) for level in levels})
        on, told = f"crops of {show(grid)} cells show", masker.config.fewest_visible(grid)
        if masker.config.fixed_count:
            require(len(counts) == 1, f"{on} {counts} of them, and fixed_count says all alike")
            right = told in (None, counts[0])
            require(right, f"{on} {counts[0]} of them each, and fewest_visible() says {told}")
        fewer = told is not None and counts[0] < told
        require(not fewer, f"{on} {counts[0]} of them, and fewest_visible() says {told} or more")


@check()
def crops_of_one_batch_hide_different_cells(masker: MaskerUnderTest) -> None:
    """On the largest grid, among eight."""
    grid = max(masker.usable_grids(), key=product)
    drawn = [masker.draw(grid, crop=crop).levels[0] for crop in range(8)]
    differ = any(not torch.equal(drawn[0], other) for other in drawn[1:])
    require(differ, f"eight crops hide the same cells on {show(grid)}")


@check()
def randomness_consumed_does_not_depend_on_hideable(masker: MaskerUnderTest) -> None:
    """Or what is drawn next would."""
    for grid in masker.usable_grids():
        before = masker.draw(grid).states
        for hideable in patterns(grid):
            after = masker.draw(grid, hideable=hideable).states
            same = all(map(torch.equal, before, after))
            require(same, f"more or fewer numbers are drawn on {show(grid)}")


@check()
def global_random_state_is_untouched(masker: MaskerUnderTest) -> None:
    """The generators are the only source of randomness."""
    with global_random_states_untouched():
        masker.draw(masker.usable_grids()[0])


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
