"""What must fit together in a fine-tuning spec. Answers before torch is loaded."""

from __future__ import annotations

from collections.abc import Iterator

from ssl3d.data.labelled.augment_spec import sides_of
from ssl3d.geometry import Triple, divides, show
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.tasks.finetune.build import model_problems
from ssl3d.tasks.finetune.spec_fields import FinetuneFields
from ssl3d.tasks.finetune.static_shapes import why_not_static

COURSE = ("schedule", "warmup", "min_lr")
"""Options of the optimiser that the recipe stands in for."""


OF_ENCODER = ("encoder_channels", "inputs", "positions")
"""Options that say how an encoder is made to fit."""


def problems(spec: FinetuneFields) -> Iterator[tuple[str, str]]:
    """(path, message) of what cannot work, as far as the spec alone tells."""
    if spec.encoder is None and spec.backbone is None:
        yield (
            "encoder",
            "neither encoder nor backbone given: give what was pre-trained, or the network to "
            "train from scratch",
        )
    if spec.encoder is None and spec.transfer != "encoder":
        yield "transfer", "nothing is transferred without an encoder: leave it out"
    for option in OF_ENCODER:
        if spec.encoder is None and getattr(spec, option) is not None:
            yield option, "it is about an encoder, and there is none: leave it out"
    if spec.encoder is None and spec.how.name != "scratch":
        yield (
            "recipe",
            f"{spec.how.name} is for a pre-trained encoder, and there is none: use scratch, or "
            "give an encoder",
        )
    default = OptimizerSpec()
    for option in COURSE:
        if getattr(spec.optimizer, option) != getattr(default, option):
            yield (
                f"optimizer.{option}",
                "the recipe says how rates go over the steps: leave it out, and set recipe.warmup "
                "or recipe.peak",
            )
    if spec.trainer.cuda_graph is True and (why := why_not_static(spec)) is not None:
        yield "trainer.cuda_graph", f"{why}: set it to auto or false"
    if spec.task.per == "voxel" and spec.data.labels is None and spec.data.manifest is None:
        yield "data.labels", f"the task {spec.task.name} learns label maps: give them"
    if spec.task.per == "case" and spec.data.manifest is None and spec.data.points is None:
        yield (
            "data.manifest",
            f"the task {spec.task.name} learns {', '.join(spec.task.columns())}: give a table that "
            "has these columns",
        )
    if spec.backbone is not None:
        yield from network_problems(spec, backbone=spec.backbone, patch=spec.patch)
    names = spec.task.outputs()
    try:
        spec.augment.check_sides(names)
    except ValueError as error:
        yield "augment.flips", str(error)
    pair = sides_of(names) if 2 in spec.windows.mirror else None
    if pair is not None:
        yield (
            "windows.mirror",
            f"{pair[0]!r} and {pair[1]!r} change places in a window that is mirrored along x: "
            "leave 2 out",
        )


def network_problems(
    spec: FinetuneFields, *, backbone: BackboneConfig, patch: Triple | None
) -> Iterator[tuple[str, str]]:
    """What does not fit the backbone, once it is known."""
    stages = backbone.stages()
    yield from model_problems(spec.task, decoder=spec.decoder, stages=stages)
    total = backbone.total_stride
    if patch is not None and not divides(total, patch):
        yield (
            "patch",
            f"given {show(patch)} voxels; must be a multiple of the backbone's total stride "
            f"{show(total)} on each axis",
        )
