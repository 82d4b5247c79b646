"""What must fit together in a spec. Answers from the configs alone, before torch is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ssl3d.geometry import Operation, divides, quotient, show, times, undefined
from ssl3d.plugin.config import SparseBackendConfig
from ssl3d.plugin.registry import installed
from ssl3d.tasks.pretrain.fields import ExperimentFields
from ssl3d.tasks.pretrain.visible_sites import INSTANCE, FewSites, batch_norm, few_sites


def problems(spec: ExperimentFields) -> Iterator[tuple[str, str]]:
    """(path, message) of everything in `spec` that cannot work together."""
    yield from _losses(spec)
    sizes = list(_sizes(spec))
    yield from sizes
    if not sizes:
        grid = quotient(spec.data.patch, spec.cell_size)
        for option, message in spec.masker.problems(grid=grid):
            yield f"masker.{option}", message
    sparse = spec.encoder_input == "visible"
    for option, message in spec.backbone.problems(cell=spec.cell_size, sparse=sparse):
        yield f"backbone.{option}", message
    if sparse:
        yield from _operations(spec)
    if not sizes:
        yield from (("data.patch", few.message) for few in _few_sites(spec) if few.level == "error")


def warnings_of(spec: ExperimentFields) -> Iterator[str]:
    """What can run but is likely not what is wanted; `spec` has no problems."""
    yield from (f"data.patch: {few.message}" for few in _few_sites(spec) if few.level == "warning")


def _few_sites(spec: ExperimentFields) -> Iterator[FewSites]:
    """Norms over too few visible sites; a dense pass sees all of them."""
    grid = quotient(spec.data.patch, spec.cell_size)
    if spec.encoder_input != "visible" or not spec.masker.fewest_visible(grid):
        return
    devices = spec.trainer.devices  # "auto" may be one
    ranks = spec.trainer.nodes * (devices if isinstance(devices, int) and devices > 0 else 1)
    for name, norm, stages in (
        ("instance", INSTANCE, spec.backbone.instance_norm_stages()),
        ("batch", batch_norm(spec.data.batch_size * ranks), spec.backbone.batch_norm_stages()),
    ):
        if spec.decoder.densify and spec.decoder.norm == name:
            stages += spec.backbone.stages()  # densify normalises the visible sites of each
        few = few_sites(
            stages,
            norm=norm,
            cell=spec.cell_size,
            grid=grid,
            visible_cells=lambda grid: spec.masker.fewest_visible(grid) or 0,
        )
        if few is not None:
            yield few


def _sizes(spec: ExperimentFields) -> Iterator[tuple[str, str]]:
    total, cell, patch = spec.backbone.total_stride, spec.cell_size, spec.data.patch
    if not divides(total, cell):
        yield (
            "cell",
            f"given {show(cell)} voxels; must be a multiple of the backbone's total stride "
            f"{show(total)} on each axis, such as {show(total)}",
        )
    elif not divides(cell, patch):
        up = tuple(-(-p // c) for p, c in zip(patch, cell, strict=True))
        yield (
            "data.patch",
            f"given {show(patch)} voxels; must be a multiple of the cell {show(cell)} on each "
            f"axis, such as {show(times((up[0], up[1], up[2]), cell))}",
        )


def _losses(spec: ExperimentFields) -> Iterator[tuple[str, str]]:
    if not spec.losses:
        yield "losses", "empty: give at least one loss"
    for label, count in Counter(loss.title for loss in spec.losses).items():
        if count > 1:
            yield "losses", f"{count} losses have the label {label!r}: give each its own `label`"
    stages = len(spec.backbone.stages())
    for i, loss in enumerate(spec.losses):
        if "two_stages" in loss.needs() and stages < 2:
            yield (
                f"losses.{i}",
                f"{loss.name} needs two stages to compare; backbone {spec.backbone.name!r} has "
                f"{stages}: give it more stages or remove this loss",
            )


def _operations(spec: ExperimentFields) -> Iterator[tuple[str, str]]:
    for op in dict.fromkeys(spec.backbone.operations()):
        reason = undefined(op)
        if reason is not None:
            yield "backbone", f"asks for an operation without a meaning on hidden cells: {reason}"
            continue
        reason = spec.sparse_backend.unsupported(op)
        if reason is None:
            continue
        able = [name for name in installed().names("sparse_backend") if _can(name, op)]
        yield (
            "sparse_backend",
            f"{spec.sparse_backend.name!r} cannot do what backbone {spec.backbone.name!r} asks "
            f"for ({op.describe()}): {reason}. Backends that can: {', '.join(able) or 'none'}",
        )


def _can(name: str, op: Operation) -> bool:
    """True when the backend of this name, with its default options, supports `op`."""
    config = installed().config("sparse_backend", name=name).model_construct(name=name)
    assert isinstance(config, SparseBackendConfig)
    return config.supports(op)
