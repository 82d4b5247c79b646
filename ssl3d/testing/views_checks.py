"""What all views must do."""

from __future__ import annotations

import pickle

import torch

from ssl3d.geometry import show
from ssl3d.streams import Seeds, Stream
from ssl3d.testing.check import (
    check,
    checks_of,
    global_random_states_untouched,
    require,
    survives_json,
)
from ssl3d.testing.views_places import coordinates, require_inside, require_is, same, seen
from ssl3d.testing.views_under_test import Levels, Recording, ViewsUnderTest

SAMPLES = 8


@check()
def problems_and_levels_agree(views: ViewsUnderTest) -> None:
    """What validation has nothing against has views of whole cells, with any number of levels."""
    config = views.config
    found = list(config.problems(patch=views.patch, cell=views.cell, masker=views.masker))
    require(not found, f"{config!r} cannot be tried with {views.masker!r}: {found}")
    for masker in (views.masker, *(Levels(number=number) for number in (1, 2, 3))):
        for patch in (views.cell, views.patch):
            problems = list(config.problems(patch=patch, cell=views.cell, masker=masker))
            for problem in problems:
                known = problem.option in type(config).model_fields
                require(known, f"problems() names {problem.option!r}, which is no option")
                require(bool(problem.message), f"the problem of {problem.option!r} says nothing")
            if not problems:
                views.require_levels(patch, masker=masker)


@check()
def there_are_as_many_views_as_levels_say_and_of_that_size(views: ViewsUnderTest) -> None:
    """Volume and valid voxels on the CPU; as many hidden levels as there are weights.

    Views of a level are of its size, or all of one that is smaller.
    """
    levels = views.config.levels(views.patch, cell=views.cell, masker=views.masker)
    for region, made in views.each():
        counts = [len(level) for level in made], [level.count for level in levels]
        require(counts[0] == counts[1], f"{counts[0]} views, announced {counts[1]}")
        for number, (level, announced) in enumerate(zip(made, levels, strict=True)):
            size = tuple(level[0].valid.shape)
            fits = len(size) == 3 and all(map(int.__le__, size, announced.size))
            require(fits, f"level {number} has views of {size}, announced {announced.size}")
            for view in level:
                shape = (region.channels, *size)
                require_is(view.volume, torch.float32, shape, name=f"volume of level {number}")
                require_is(view.valid, torch.bool, size, name=f"valid of level {number}")
                hidden = len(view.hidden), len(announced.hidden)
                require(hidden[0] == hidden[1], f"{hidden[0]} hidden levels, not {hidden[1]}")


@check()
def places_are_exact(views: ViewsUnderTest) -> None:
    """Where a view is valid it shows the voxels of its corner and extent, resampled or not."""
    for region, made in views.each():
        for name, view in seen(made):
            inside = all(
                c >= 0 and e >= 1 and c + e <= edge
                for c, e, edge in zip(view.corner, view.extent, region.extent, strict=True)
            )
            require(inside, f"{name}: {show(view.extent)} from {view.corner} leave the region")
            expected = coordinates(view).repeat(region.channels // 3, 1, 1, 1)
            wrong = (view.volume - expected).abs().amax(0) > 1e-3
            require(not bool((wrong & view.valid).any()), f"{name} shows another place")
            zero = not bool(view.volume[:, ~view.valid].any())
            require(zero, f"{name}: the volume must be 0 where it is not valid")
            d, h, w = view.valid.shape
            right = region.read(view.corner, view.extent, size=(d, h, w))[1]
            require(torch.equal(view.valid, right), f"{name}: valid is not the region's")


@check()
def hidden_levels_are_boolean_cells_on_the_cpu_and_nested(views: ViewsUnderTest) -> None:
    """Each inside the one before; a hidden cell has at least half of its voxels valid."""
    for _, made in views.each():
        for name, view in seen(made):
            outer = views.cells_of(views.valid_of(view), share=0.5)
            for number, level in enumerate(view.hidden):
                require_is(
                    level, torch.bool, tuple(outer.shape), name=f"{name}: hidden level {number}"
                )
                within = "level before" if number else "cells that are half valid"
                outside = bool((level & ~outer).any())
                require(not outside, f"{name}: hidden level {number} leaves the {within}")
                outer = level


@check()
def visible_is_what_is_not_hidden_and_has_a_valid_voxel(views: ViewsUnderTest) -> None:
    """Nothing else is encoded."""
    for _, made in views.each():
        for name, view in seen(made):
            some = views.cells_of(views.valid_of(view), share=1e-9)
            right = torch.equal(view.visible, some & ~view.hidden[0])
            require(right, f"{name}: visible is not what is not hidden and has a valid voxel")


@check()
def children_lie_inside_hidden_cells_of_their_parents(views: ViewsUnderTest) -> None:
    """Of the level before, and corner and extent are those of the box in the parent's cells.

    The box is as large as the level announces; all its cells are hidden but those that may not be,
    of which less than half is valid.
    """
    levels = views.config.levels(views.patch, cell=views.cell, masker=views.masker)
    for _, made in views.each():
        for level, children in enumerate(made):
            for number, child in enumerate(children):
                name = f"view {number} of level {level}"
                both = (child.parent is None) == (child.parent_box is None)
                require(both, f"{name} has a parent without a box, or a box without a parent")
                if child.parent is None or child.parent_box is None:
                    continue
                known = level > 0 and 0 <= child.parent < len(made[level - 1])
                require(known, f"{name}: there is no view {child.parent} before it")
                announced, extent = levels[level].place, child.parent_box[1]
                right = announced in (None, extent)
                require(right, f"{name} covers {extent} cells of its parent, announced {announced}")
                parent = made[level - 1][child.parent]
                hideable = views.cells_of(views.valid_of(parent), share=0.5)
                require_inside(child, parent, views.cell, hideable=hideable, name=name)


@check()
def the_same_seeds_give_the_same_views(views: ViewsUnderTest) -> None:
    """Whatever was drawn before, and in another process."""
    built = views.config.build(patch=views.patch, cell=views.cell, masker=views.masker)
    masker, region = views.masker.build(), views.region(padded=True)
    for sample in range(3):
        other = pickle.loads(pickle.dumps((built, masker)))
        seeds = Seeds(5, sample=sample, first=2)
        alone = other[0](region, masker=other[1], seeds=seeds)
        built(region, masker=masker, seeds=Seeds(6, sample=sample + 1, first=sample))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sample)
            after = built(region, masker=masker, seeds=seeds)
        require(same(alone, after), "the same seeds give other views after others were made")


@check()
def another_sample_hides_other_cells(views: ViewsUnderTest) -> None:
    """Among eight samples, or eight seeds of a run."""
    for what, drawn in {
        "samples": [views.make(sample=n) for n in range(SAMPLES)],
        "seeds of a run": [views.make(seed=n) for n in range(SAMPLES)],
    }.items():
        differ = any(not same(drawn[0], other) for other in drawn[1:])
        require(differ, f"{SAMPLES} {what} hide the same cells")


@check()
def first_alone_decides_what_is_alike_in_a_batch(views: ViewsUnderTest) -> None:
    """The masker's generators: the batch's follows `first`, the sample's the sample and draw."""
    samples, batches = {}, {}
    for first in (0, 3):
        for sample in range(3):
            masker = Recording(views.masker)
            views.make(masker=masker, sample=sample, first=first)
            samples[first, sample] = [state for state, _ in masker.states]
            batches[first, sample] = [state for _, state in masker.states]
    for first in (0, 3):
        alike = batches[first, 0] == batches[first, 1] == batches[first, 2]
        require(alike, "the batch's generator is another for another sample of a batch")
    require(batches[0, 0] != batches[3, 0], "the batch's generator does not depend on `first`")
    require(samples[0, 1] == samples[3, 1], "the sample's generator depends on `first`")
    drawn = [state for sample in range(3) for state in samples[0, sample]]
    require(len(set(drawn)) == len(drawn), "two draws of the sample's generator are one")


@check()
def streams_do_not_meet(views: ViewsUnderTest) -> None:
    """Held-out samples are others than those of training of the same number."""
    built = views.config.build(patch=views.patch, cell=views.cell, masker=views.masker)
    states = []
    for stream in (Stream.VIEWS, Stream.HELD_OUT):
        masker = Recording(views.masker)
        built(views.region(), masker=masker, seeds=Seeds(0, sample=1, first=1, stream=stream))
        states.append(masker.states)
    require(states[0] != states[1], "what is drawn does not depend on the stream")


@check()
def global_random_state_and_the_region_are_untouched(views: ViewsUnderTest) -> None:
    """Seeds are the only source of randomness; levels may share the voxels of the region."""
    region = views.region(padded=True)
    volume, valid = region.volume.clone(), region.valid.clone()
    with global_random_states_untouched():
        views.make(region)
    as_was = torch.equal(volume, region.volume) and torch.equal(valid, region.valid)
    require(as_was, "the region was changed")


@check()
def the_config_survives_json(views: ViewsUnderTest) -> None:
    """Specs are stored as JSON."""
    survives_json(views.config)


CHECKS = checks_of(globals())
