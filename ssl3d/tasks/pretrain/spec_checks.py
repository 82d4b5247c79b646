"""What must fit together in a spec. Answers from the configs alone, before torch is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ssl3d.geometry import Operation, divides, quotient, show, times
from ssl3d.kinds.decoder_config import decoder_problems
from ssl3d.kinds.loss_config import TAKEN
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.registry import installed
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.tasks.pretrain.spec_fields import ExperimentFields
from ssl3d.tasks.pretrain.static_shapes import why_not_static
from ssl3d.tasks.pretrain.view_checks import drawn_grids, hidden_problems, sites_of_norms


def problems(spec: ExperimentFields) -> Iterator[tuple[str, str]]:
    """(path, message) of everything in `spec` that cannot work together."""
    yield from _losses(spec)
    yield from _features(spec)
    if spec.trainer.cuda_graph is True and (why := why_not_static(spec)) is not None:
        yield "trainer.cuda_graph", f"{why}: set it to auto or false"
    sizes = list(_sizes(spec))
    yield from sizes
    if spec.views.partners and not spec.data.pairs:
        yield (
            "views",
            f"{spec.views.name} restores a volume and its partner: say by data.visit_by, "
            "data.visit_file or a manifest (data.columns.visit) which volumes are of a visit",
        )
    if spec.data.pairs and not spec.views.partners:
        given = [
            name for name in ("visit_by", "visit_file") if getattr(spec.data, name) is not None
        ]
        option = given[0] if given else "columns.visit"
        yield (
            f"data.{option}",
            f"makes samples of two volumes, and views {spec.views.name!r} take one: take views "
            "pair, or leave it out",
        )
    if spec.views.unchanged and spec.data.augment.any:
        yield (
            "data.augment",
            f"views {spec.views.name!r} leave crops as they are: {spec.views.unchanged}. Leave "
            "data.augment out, or take other views",
        )
    modalities = spec.data.normalise_by_modality
    if modalities and spec.probe is not None and spec.probe.modality is None:
        yield (
            "probe.modality",
            "not given, and data.normalise_by_modality normalises volumes by theirs: say what the "
            f"labelled ones are of ({', '.join(modalities)}, or another)",
        )
    if not sizes:
        sizes = list(hidden_problems(spec))
        yield from sizes
    sparse = spec.encoder_input == "visible"
    yield from _encoders(spec, sparse=sparse)
    if spec.restores:
        for option, message in decoder_problems(spec.decoder, stages=spec.decoder_stages):
            yield f"decoder.{option}", message
    if sparse:
        yield from _operations(spec)
    if not sizes:
        yield from (
            ("data.patch", few.message) for few in sites_of_norms(spec) if few.level == "error"
        )


def warnings_of(spec: ExperimentFields) -> Iterator[str]:
    """What can run but is likely not what is wanted; `spec` has no problems."""
    yield from (
        f"data.patch: {few.message}" for few in sites_of_norms(spec) if few.level == "warning"
    )
    for grid in drawn_grids(spec):
        for option, message in spec.masker.cautions(grid=grid, cell=spec.cell_size):
            yield f"masker.{option}: {message}"
    for part in (spec.backbone, spec.decoder) if spec.restores else (spec.backbone,):
        yield from (f"{part.kind}: {said}" for said in part.warnings(patch=spec.data.patch))
    yield from (f"{path} {why}: leave it out" for path, why in _idle(spec))
    if not spec.restores and spec.decoder.model_dump(exclude_defaults=True):
        yield (
            "decoder: none is built, since no loss needs a restored volume, so the options of "
            f"{spec.decoder.name!r} change nothing: leave them out, or add a loss that restores"
        )


def _idle(spec: ExperimentFields) -> Iterator[tuple[str, str]]:
    """(path, why) of options that are given and change nothing."""
    optimizer, given = spec.optimizer, spec.optimizer.model_dump(exclude_defaults=True)
    if "momentum" in given and optimizer.name != "sgd":
        yield "optimizer.momentum", f"is SGD's, and the optimizer is {optimizer.name}"
    if "betas" in given and optimizer.name == "sgd":
        yield "optimizer.betas", "are AdamW's and LAMB's, and the optimizer is sgd"
    if "min_lr" in given and optimizer.schedule != "cosine":
        yield "optimizer.min_lr", f"is a cosine's end, and the schedule is {optimizer.schedule}"
    if spec.normalisation.model_dump(exclude_defaults=True):
        if not spec.restores:
            yield "normalisation", "is of what is restored, and no loss restores anything"
        elif spec.target != "patch_normalised":
            yield (
                "normalisation",
                f"is of patch_normalised targets, not of {spec.target}",
            )
    augment = spec.data.augment
    if augment.model_dump(exclude_defaults=True) and not augment.any:
        why = "the share is 0" if augment.share == 0 else "none of the changes is on"
        yield "data.augment", f"changes no crop: {why}"


def _features(spec: ExperimentFields) -> Iterator[tuple[str, str]]:
    """What is about features, where features are not what is hidden and restored."""
    reads = spec.restores and "volume" in spec.decoder.needs()
    if reads and spec.site != spec.restored_site:
        yield (
            "decoder",
            f"{spec.decoder.name} reads the volume that was encoded, and with a feature_encoder "
            "that is the backbone's map: use another decoder, or target: features",
        )
    if spec.target != "features":
        return
    if spec.feature_encoder is None:
        yield (
            "target",
            "given 'features', which are the backbone's where a feature_encoder encodes the "
            "visible ones, and none is given: name one, such as resunet, or restore voxels",
        )
    elif not spec.restores:
        yield "target", "given 'features', and no loss restores anything: add one, such as mse"


def _encoders(spec: ExperimentFields, *, sparse: bool) -> Iterator[tuple[str, str]]:
    """What the encoders themselves have against the sizes."""
    if spec.feature_encoder is None:
        cell = spec.cell_size
        for option, message in spec.backbone.problems(cell=cell, sparse=sparse):
            yield f"backbone.{option}", message
        return
    # To the backbone nothing is hidden: the patch is its one cell.
    for option, message in spec.backbone.problems(cell=spec.data.patch, sparse=False):
        yield f"backbone.{option}", message
    if divides(spec.site, spec.cell_size):
        cell = quotient(spec.cell_size, spec.site)
        for option, message in spec.feature_encoder.problems(cell=cell, sparse=sparse):
            yield f"feature_encoder.{option}", message


def _sizes(spec: ExperimentFields) -> Iterator[tuple[str, str]]:
    total, cell, patch = (
        times(spec.site, spec.encoder.total_stride),
        spec.cell_size,
        spec.data.patch,
    )
    if not divides(total, cell):
        whose = "the backbone's total stride"
        if spec.feature_encoder is not None:
            whose = "the total stride of backbone and feature_encoder together,"
        yield (
            "cell",
            f"given {show(cell)} voxels; must be a multiple of {whose} {show(total)} on each axis, "
            f"such as {show(total)}",
        )
    elif not divides(cell, patch):
        up = tuple(-(-p // c) for p, c in zip(patch, cell, strict=True))
        yield (
            "data.patch",
            f"given {show(patch)} voxels; must be a multiple of the cell {show(cell)} on each "
            f"axis, such as {show(times((up[0], up[1], up[2]), cell))}",
        )
    elif cell == patch:
        smallest = show((patch[0], patch[1], 2 * patch[2]))
        yield (
            "data.patch",
            f"given {show(patch)} voxels, which is one cell: the smallest patch has two, one to "
            f"hide and one to show, {smallest} voxels (in any order of the axes); or take a "
            "network of fewer strides",
        )


def _losses(spec: ExperimentFields) -> Iterator[tuple[str, str]]:
    if not spec.losses:
        yield "losses", "empty: give at least one loss"
    elif not any(loss.weight for loss in spec.losses):
        yield "losses", "all have the weight 0, so nothing would be learned: give one a weight"
    for label, count in Counter(loss.title for loss in spec.losses).items():
        if count > 1:
            yield "losses", f"{count} losses have the label {label!r}: give each its own `label`"
        if label in TAKEN or "/" in label:
            yield (
                "losses",
                f"the label {label!r} would be mixed up with other numbers of the run: give one "
                f"without a slash, and none of {', '.join(sorted(TAKEN))}",
            )
    stages = len(spec.stages)
    for i, loss in enumerate(spec.losses):
        if "two_stages" in loss.needs() and stages < 2:
            yield (
                f"losses.{i}",
                f"{loss.name} needs two stages to compare; backbone {spec.encoder.name!r} has "
                f"{stages}: give it more stages or remove this loss",
            )
        if "parents" in loss.needs():
            yield from ((f"losses.{i}", message) for message in _parents(spec, name=loss.name))


def _parents(spec: ExperimentFields, *, name: str) -> Iterator[str]:
    """Why a loss cannot compare views with those that they lie in."""
    if not spec.views.places:
        able = [n for n in installed().names("views") if _places(n)]
        yield (
            f"{name} compares views with those that they lie in, and those of {spec.views.name!r} "
            f"lie in none: take views that do ({', '.join(able) or 'none is installed'}), or "
            "remove this loss"
        )
    if not spec.restores:
        yield f"{name} looks at what a decoder makes: add a loss that restores, such as mse"
    elif spec.decoder.features(stages=spec.decoder_stages) is None:
        yield (
            f"{name} needs the decoder's features, and decoder {spec.decoder.name!r} does not say "
            "what they are: take another decoder"
        )


def _places(name: str) -> bool:
    config = installed().config("views", name=name)
    assert issubclass(config, ViewsConfig)
    return config.places


def _operations(spec: ExperimentFields) -> Iterator[tuple[str, str]]:
    asked: list[tuple[ComponentConfig, tuple[Operation, ...]]]
    asked = [(spec.encoder, spec.encoder.operations())]
    if spec.restores:
        asked += [(spec.decoder, spec.decoder.operations(stages=spec.decoder_stages))]
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
