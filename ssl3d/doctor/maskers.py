"""Every installed masker hides something and shows something, on small and larger grids."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ssl3d.doctor.check import Check, NotThere
from ssl3d.doctor.components import advice_for, default_config
from ssl3d.geometry import product
from ssl3d.plugin.declared import Registered
from ssl3d.plugin.registry import Registry

EDGES = (2, 4, 8)


def masker_checks(registry: Registry) -> Iterator[Check]:
    """Each masker with its default options on grids of 2³, 4³ and 8³ cells."""
    for entry in registry.entries("masker"):
        for edge in EDGES:
            title = f"{entry.config.component_name()} on {edge}³"
            yield Check("maskers", title, partial(draw, entry, edge=edge), advice_for(entry))


def draw(entry: Registered, *, edge: int) -> str:
    """Two draws from one state: levels of cells, nested, not all and not none, and equal."""
    from ssl3d.testing import masker_checks as kit

    config, grid = default_config(entry), (edge, edge, edge)
    problems = [problem.message for problem in config.problems(grid=grid)]
    if problems:
        raise NotThere(f"does not work with its default options: {'; '.join(problems)}")
    masker = kit.MaskerUnderTest(config, grids=(grid,))
    kit.the_same_generator_states_give_the_same_cells(masker)
    kit.levels_are_boolean_cells_on_the_cpu_and_nested(masker)
    kit.every_crop_has_a_hidden_and_a_visible_cell(masker)
    hidden = "; ".join(str(int(level.sum())) for level in masker.draw(grid).levels)
    return f"hides {hidden} of {product(grid)} cells"
