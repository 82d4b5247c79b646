"""All installed views show what they say they show."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from ssl3d.doctor.check import Check, NotThere
from ssl3d.doctor.components import advice_for, default_config
from ssl3d.plugin.declared import Registered
from ssl3d.plugin.registry import Registry

if TYPE_CHECKING:
    from ssl3d.testing.views_under_test import ViewsUnderTest


def views_checks(registry: Registry) -> Iterator[Check]:
    """Each with its default options and the first masker that it can work with."""
    for entry in registry.entries("views"):
        name = entry.config.component_name()
        yield Check("views", name, partial(look, entry, registry=registry), advice_for(entry))


def look(entry: Registered, *, registry: Registry) -> str:
    """Numbers, sizes and places, children inside hidden cells, and the same twice."""
    from ssl3d.testing import views_checks as kit

    views = _with_a_masker(entry, registry=registry)
    kit.there_are_as_many_views_as_levels_say_and_of_that_size(views)
    kit.places_are_exact(views)
    kit.hidden_levels_are_boolean_cells_on_the_cpu_and_nested(views)
    kit.children_lie_inside_hidden_cells_of_their_parents(views)
    kit.the_same_seeds_give_the_same_views(views)
    counts = " + ".join(str(len(level)) for level in views.make())
    return f"{counts} views of a sample, with the masker {views.masker.name}"


def _with_a_masker(entry: Registered, *, registry: Registry) -> ViewsUnderTest:
    from ssl3d.testing.views_under_test import ViewsUnderTest

    config, why = default_config(entry), "no masker is installed"
    for masker in registry.entries("masker"):
        try:
            views = ViewsUnderTest(config, default_config(masker))
        except NotThere:  # said where maskers are tried
            continue
        problems = list(config.problems(patch=views.patch, cell=views.cell, masker=views.masker))
        if not problems:
            return views
        why = "; ".join(problem.message for problem in problems)
    raise NotThere(f"not tried: {why}")
