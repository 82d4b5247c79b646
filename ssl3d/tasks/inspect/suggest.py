"""A `data` section, cell and strides that suit what was found, with the reason for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from ssl3d.data.spec import DataSpec
from ssl3d.geometry import Triple, product, show
from ssl3d.tasks.inspect.exclude import patterns_of
from ssl3d.tasks.inspect.facts import Sizes
from ssl3d.tasks.inspect.found import Found
from ssl3d.tasks.inspect.intensities import intensities
from ssl3d.tasks.inspect.look_all import MOST_WORKERS, cores
from ssl3d.tasks.inspect.sizes import (
    LEAST,
    MOST,
    VOXELS,
    network_plan,
    patch_edges,
    target_spacing,
    whole_cells,
)
from ssl3d.tasks.inspect.suggestion import Choice, Suggestion

ALIKE = 0.01
"""Ratio up to which spacings are one."""

NAMED = 5
"""Files that a reason names."""

SUGGESTED = ("exclude", "spacing", "patch", "normalise", "workers")


def suggest(found: Found, *, given: DataSpec) -> Suggestion:
    """A suggestion from what was found.

    Args:
        found: with one image at least.
        given: what was inspected.
    """
    images = found.images
    spacings = [one.spacing for one in images if one.spacing is not None]
    shapes = [one.shape for one in images if one.shape is not None]
    spacing, thick = target_spacing(spacings, shapes=shapes)
    edges = [
        median(
            size[axis] * own[axis] / spacing[axis]
            for size, own in zip(shapes, spacings, strict=True)
        )
        for axis in range(3)
    ]
    crop = patch_edges(spacing, shape=edges)
    plan = network_plan(spacing, edges=crop)
    patch = whole_cells(crop, cell=plan.total_stride)
    network = None if product(plan.total_stride) == 1 or patch == plan.total_stride else plan
    choices = (
        *sources(found, given=given),
        _spacing(spacings, spacing=spacing, thick=thick),
        _patch(patch, spacing=spacing, edges=edges),
        *intensities(images, given=given),
        workers(),
    )
    return Suggestion(choices, network, _why(network, spacing), remarks=tuple(_remarks(found)))


def sources(found: Found, *, given: DataSpec) -> Iterator[Choice]:
    """What was given, and what of it should be left out."""
    kept = given.model_dump(mode="json", exclude_unset=True)
    yield from (
        Choice(option, value, "as given")
        for option, value in kept.items()
        if option not in SUGGESTED
    )
    copies = [one for group in found.copies for one in group[1:] if one.image]
    unwanted = [found.paths[one.path] for one in (*found.labels, *copies)]
    if not unwanted:
        if given.exclude:
            yield Choice("exclude", given.exclude, "as given")
        return
    parts = []
    if found.labels:
        parts.append(f"label maps are no images to restore ({len(found.labels)} found)")
    if copies:
        parts.append(
            "copies of another file would count twice, or stand on both sides of the split "
            f"({len(copies)} found)"
        )
    if given.manifest is not None:
        names = ", ".join(one.path for one in (*found.labels, *copies)[:NAMED])
        more = f" and {len(unwanted) - NAMED} more" if len(unwanted) > NAMED else ""
        reason = f"{'; '.join(parts)}: delete their rows of the manifest: {names}{more}"
        yield Choice("exclude", None, reason)
        return
    wanted = [found.paths[one.path] for one in (*found.images, *found.bad)]
    patterns = patterns_of(unwanted, wanted=wanted)
    yield Choice("exclude", [*given.exclude, *patterns], "; ".join(parts))


def _spacing(spacings: Sequence[Sizes], *, spacing: Sizes, thick: str | None) -> Choice:
    if all(max(axis) <= (1 + ALIKE) * min(axis) for axis in zip(*spacings, strict=True)):
        return Choice(
            "spacing",
            None,
            f"spacing is left out: all images have {_size(spacing)}, so that none is resampled",
        )
    if thick is None:
        return Choice("spacing", list(spacing), "the median of the images, axis by axis")
    middle = median(one["zyx".index(thick)] for one in spacings)
    fine = "" if middle == spacing["zyx".index(thick)] else ", there the 10th percentile"
    return Choice(
        "spacing",
        list(spacing),
        f"the median of the images{fine}: slices are thick along {thick}, which is kept. "
        "Isotropic voxels would be made up between slices",
    )


def _patch(patch: Triple, *, spacing: Sizes, edges: Sequence[float]) -> Choice:
    size = " × ".join(f"{n * step:.0f}" for n, step in zip(patch, spacing, strict=True))
    whole = " × ".join(f"{edge:.0f}" for edge in edges)
    return Choice(
        "patch",
        list(patch),
        f"{size} mm, {product(patch):,} voxels: as near to a cube of {VOXELS:,} voxels (96³) as "
        f"whole cells within the median image allow, which has {whole} voxels at this spacing",
    )


def workers() -> Choice:
    """Reading processes."""
    count = min(MOST_WORKERS, cores())
    return Choice(
        "workers", count, f"this machine has {cores()} cores; more than {MOST_WORKERS} rarely help"
    )


def _why(network: Any, spacing: Sizes) -> str:
    if network is None:
        return "the images are too small for a network with strides"
    total = network.total_stride
    size = " × ".join(f"{n * step:.3g}" for n, step in zip(total, spacing, strict=True))
    strides = ", ".join(str(list(stride)) for stride in network.strides[1:])
    text = f"strides {strides}. The cell is their product, {show(total)} voxels or {size} mm"
    if max(spacing) >= 2 * min(spacing):
        text += ". An axis is halved once its steps are less than twice the finest"
    if network != network_plan(spacing, edges=(MOST, MOST, MOST)):
        text += f". Where less than {LEAST} sites would be left of the patch it is not halved"
    return text


def _remarks(found: Found) -> Iterator[str]:
    thick = found.thick()
    if len(thick) > 1:
        counts = ", ".join(f"{count} along {axis}" for axis, count in sorted(thick.items()))
        yield (
            f"slices are thick along several axes ({counts}): one spacing cannot suit them all, so "
            "train on each apart, or resample with care"
        )


def _size(spacing: Sizes) -> str:
    return " × ".join(f"{step:.4g}" for step in spacing) + " mm"
