"""The model of a fine-tuning run from its configs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ssl3d.geometry import Stage
from ssl3d.kinds.decoder_config import DecoderConfig, decoder_problems
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.plugin.config import Problem
from ssl3d.plugin.registry import installed
from ssl3d.tasks.finetune.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from ssl3d.kinds.backbone import Backbone
    from ssl3d.kinds.decoder import Decoder
    from ssl3d.tasks.finetune.model import FinetuneModel
    from ssl3d.weights import TransferReport


def default_decoder(stages: Sequence[Stage]) -> DecoderConfig:
    """`unet`, or `patch` where a backbone has one stage."""
    name = "unet" if len(stages) > 1 else "patch"
    config = installed().config("decoder", name=name)()  # type: ignore[call-arg]
    assert isinstance(config, DecoderConfig)
    return config


def model_problems(
    task: TaskConfig, *, decoder: DecoderConfig | None, stages: Sequence[Stage]
) -> Iterator[Problem]:
    """What does not fit together, each with the path of its option in a spec.

    Args:
        task: of the spec.
        decoder: of the spec; None where none is named.
        stages: of the backbone, fine to coarse.
    """
    for problem in task.problems(stages=stages):
        yield Problem(f"task.{problem.option}", problem.message)
    if task.per == "case":
        if decoder is not None:
            yield Problem(
                "decoder",
                f"the task {task.name} predicts for each case, on the encoder's stages, and has no "
                "decoder: leave it out",
            )
        return
    chosen = default_decoder(stages) if decoder is None else decoder
    for problem in decoder_problems(chosen, stages=stages):
        yield Problem(f"decoder.{problem.option}", problem.message)


def build_model(
    backbone: Backbone,
    *,
    task: TaskConfig,
    decoder: DecoderConfig | None,
    recipe: Recipe,
    steps: int,
    samples_per_step: int,
) -> FinetuneModel:
    """Decoder and task on a backbone, with parameters from torch's global generator.

    The decoder comes first: for one seed it starts alike, whatever the task.

    Args:
        backbone: filled or not; its parameters are not changed.
        task: what is learned.
        decoder: for tasks on voxels; None for the default of the backbone.
        recipe: what trains when.
        steps: of the whole training.
        samples_per_step: over all ranks and micro-batches.
    """
    from ssl3d.tasks.finetune.model import FinetuneModel

    made: Decoder | None = None
    if task.per == "voxel":
        config = default_decoder(backbone.stages) if decoder is None else decoder
        channels = len(task.outputs())
        made = config.build(
            stages=backbone.stages,
            out_channels=channels,
            sparse=False,
            in_channels=backbone.in_channels,
        )
    return FinetuneModel(
        backbone,
        decoder=made,
        task=task.build(stages=backbone.stages),
        recipe=recipe,
        steps=steps,
        samples_per_step=samples_per_step,
    )


def fill_decoder(decoder: Decoder, *, weights: Mapping[str, Tensor]) -> TransferReport:
    """Fill a decoder from the one that was pre-trained: `transfer: encoder+decoder`.

    Its heads keep their initial values, for they restored voxels there: missing in the report.
    Learned tokens of hidden sites are left over, since dense maps have none.

    Args:
        decoder: of the same options as the pre-trained one.
        weights: of the pre-trained one, by its own names.

    Raises:
        ValueError: anything else is missing or does not fit; nothing was copied then.
    """
    from ssl3d.weights import transfer

    tokens = "*token"
    body = {name: w for name, w in weights.items() if not _is_any(name, decoder.heads)}
    return transfer(body, decoder, allow_missing=decoder.heads, allow_unexpected=(tokens,))


def _is_any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
