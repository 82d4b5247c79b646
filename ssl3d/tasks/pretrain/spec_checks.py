"""What must fit together in a spec. Answers from the configs alone, before torch is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ssl3d.geometry import Operation, divides, quotient, show, times
from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.registry import installed
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.tasks.pretrain.spec_fields import ExperimentFields
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
        for option, message in spec.views.problems(
            patch=spec.data.patch, cell=spec.cell_size, masker=spec.masker
        ):
            yield f"views.{option}", message
    sparse = spec.encoder_input == "visible"
    for option, message in spec.backbone.problems(cell=spec.cell_size, sparse=sparse):
        yield f"backbone.{option}", message
    if spec.restores:
        for option, message in spec.decoder.problems(stages=spec.backbone.stages()):
            yield f"decoder.{option}", message
    if sparse:
        yield from _operations(spec)
    if not sizes:
        yield from (("data.patch", few.message) for few in _few_sites(spec) if few.level == "error")


def warnings_of(spec: ExperimentFields) -> Iterator[str]:
    """What can run but is likely not what is wanted; `spec` has no problems."""
    yield from (f"data.patch: {few.message}" for few in _few_sites(spec) if few.level == "warning")
    if not spec.restores and spec.decoder.model_dump(exclude_defaults=True):
        yield (
            "decoder: none is built, since no loss needs a restored volume, so the options of "
            f"{spec.decoder.name!r} change nothing: leave them out, or add a loss that restores"
        )


def _few_sites(spec: ExperimentFields) -> Iterator[FewSites]:
    """Norms over too few visible sites; a dense pass sees all of them."""
    grid = quotient(spec.data.patch, spec.cell_size)
    if spec.encoder_input != "visible" or not spec.masker.fewest_visible(grid):
        return
    devices = spec.trainer.devices  # "auto" may be one
    ranks = spec.trainer.nodes * (devices if isinstance(devices, int) and devices > 0 else 1)
    instance, batch = spec.backbone.instance_norm_stages(), spec.backbone.batch_norm_stages()
    if spec.restores:
        instance += spec.decoder.instance_norm_stages(stages=spec.backbone.stages())
        batch += spec.decoder.batch_norm_stages(stages=spec.backbone.stages())
    for norm, stages in ((INSTANCE, instance), (batch_norm(spec.data.batch_size * ranks), batch)):
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
    asked: list[tuple[ComponentConfig, tuple[Operation, ...]]]
    asked = [(spec.backbone, spec.backbone.operations())]
    if spec.restores:
        asked += [(spec.decoder, spec.decoder.operations(stages=spec.backbone.stages()))]
    for part, operations in asked:
        for op in dict.fromkeys(operations):
            yield from _operation(op, part=part, backend=spec.sparse_backend)


def _operation(
    op: Operation, *, part: ComponentConfig, backend: SparseBackendConfig
) -> Iterator[tuple[str, str]]:
    """Why `backend` cannot do what `part` asks for."""
    for problem in op.problems():
        yield part.kind, f"asks for an operation without a meaning on hidden cells: {problem}"
        return
    lacking = "; ".join(backend.problems(op))
    if not lacking:
        return
    able = [name for name in installed().names("sparse_backend") if _can(name, op)]
    yield (
        "sparse_backend",
        f"{backend.name!r} cannot do what {part.kind} {part.name!r} asks for ({op.describe()}): "
        f"{lacking}. Backends that can: {', '.join(able) or 'none'}",
    )


def _can(name: str, op: Operation) -> bool:
    """True when the backend of this name, with its default options, supports `op`."""
    config = installed().config("sparse_backend", name=name).model_construct(name=name)
    assert isinstance(config, SparseBackendConfig)
    return config.supports(op)
