"""The parts of a fine-tuning spec. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ssl3d.data.labelled.augment_spec import AugmentSpec
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.spec_types import Patch, PathText
from ssl3d.kinds.component_fields import BackboneField, DecoderField, TaskField
from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.section import Section
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.trainer_spec import TrainerSpec
from ssl3d.tasks.finetune.recipe import Name, Recipe, RecipeField
from ssl3d.tasks.finetune.window_spec import WindowSpec

LENGTHS = {"steps": 2000, "validate_every": 250, "checkpoint_every": 250}
"""Of a trainer that does not say; those of pre-training are long."""


RATE = {"lr": 1e-3}
"""Of an optimiser that does not say: the best where it was measured (docs/evidence.md)."""


def _with(defaults: Mapping[str, Any], section: Any) -> Any:
    """A section, with `defaults` of fine-tuning for what it does not say."""
    if isinstance(section, Section):
        section = {name: getattr(section, name) for name in section.model_fields_set}
    return {**defaults, **section} if isinstance(section, Mapping) else section


class FinetuneFields(Section):
    """The parts of a fine-tuning experiment, each valid by itself; see `FinetuneSpec`."""

    encoder: PathText | None = Field(
        default=None,
        description="what was pre-trained: a run's folder, an exported encoder, or with `backbone` "
        "a checkpoint that it can read; none: from scratch",
    )
    backbone: BackboneField | None = Field(
        default=None, description="the network, where there is no encoder or it does not say"
    )
    encoder_channels: int | None = Field(
        default=None,
        ge=1,
        description="input channels of an encoder that does not say so; none: as many as data has",
    )
    transfer: Literal["encoder", "encoder+decoder"] = Field(
        default="encoder",
        description="encoder: the decoder starts from its own initial values; encoder+decoder: it "
        "is the one that was pre-trained, but for its last layer",
    )
    inputs: Literal["repeat", "average", "new"] | None = Field(
        default=None,
        description="what another number of channels gets than the encoder had: its own in turn, "
        "their mean, or initial values; none: such is an error",
    )
    positions: Literal["resize", "new"] | None = Field(
        default=None,
        description="what tables of positions of another patch get: interpolation, or initial "
        "values; none: such is an error",
    )
    task: TaskField = Field(description="what is learned")
    decoder: DecoderField | None = Field(
        default=None,
        description="for tasks on voxels; none: the one that is transferred, else unet, or patch "
        "where the backbone has one stage",
    )
    data: LabelledData = Field(description="labelled volumes, folds and subjects")
    patch: Patch | None = Field(
        default=None,
        description="size of crops and windows, in voxels; none: as the encoder's, or 96",
        json_schema_extra={"unit": "voxels"},
    )
    augment: AugmentSpec = Field(
        default=AugmentSpec(), description="how training crops are changed"
    )
    recipe: RecipeField = Field(default=Recipe(), description="what trains when, and how fast")
    optimizer: Annotated[OptimizerSpec, BeforeValidator(partial(_with, RATE))] = Field(
        default=OptimizerSpec(**RATE),
        description="update rule; lr is the peak, whose course the recipe says; where it is not "
        "given, lr is 1e-3",
    )
    trainer: Annotated[TrainerSpec, BeforeValidator(partial(_with, LENGTHS))] = Field(
        default=TrainerSpec(**LENGTHS),
        description="length, devices, logs; what is not given is steps 2000, validate_every and "
        "checkpoint_every 250, else as for pre-training",
    )
    windows: WindowSpec = Field(default=WindowSpec(), description="how whole volumes are predicted")
    select: Literal["last", "best"] = Field(
        default="last",
        description="which weights are the result: the last, or those that are best on a part of "
        "the subjects that is not trained on (data.choose)",
    )
    seed: int = Field(
        default=0, ge=0, lt=2**32, description="of decoder, head, crops and their changes"
    )
    subset_seed: int = Field(
        default=0, ge=0, lt=2**32, description="of which subjects are learned from"
    )

    @property
    def how(self) -> Recipe:
        """The recipe, with its name where none is given."""
        if self.recipe.name is not None:
            return self.recipe
        name: Name = "scratch" if self.encoder is None else "plain"
        return self.recipe.model_copy(update={"name": name})

    def components(self) -> tuple[ComponentConfig, ...]:
        """Every plugin that it names."""
        named: tuple[Any, ...] = (self.backbone, self.task, self.decoder)
        return tuple(one for one in named if one is not None)
