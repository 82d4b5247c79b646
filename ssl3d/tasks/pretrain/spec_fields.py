"""The parts of an experiment spec. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ssl3d.data.spec import DataSpec
from ssl3d.data.spec_types import PathText
from ssl3d.geometry import PerAxis, Stage, Triple, magnified, times
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.component_fields import (
    BackboneField,
    DecoderField,
    LossField,
    MaskerField,
    SparseBackendField,
    ViewsField,
)
from ssl3d.masked.spec import NormalisationSpec
from ssl3d.measure.spec import ProbeSpec, QualitySpec
from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.section import Section
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.trainer_spec import TrainerSpec


def _named(default: Any) -> Any:
    """A default component by name; validation makes the config of it."""
    return default


def _as_tuple(value: Any) -> Any:
    """One loss stands for a list of one."""
    return value if isinstance(value, (list, tuple)) else (value,)


class ExperimentFields(Section):
    """The parts of a pre-training experiment, each valid by itself; see `ExperimentSpec`."""

    backbone: BackboneField = Field(
        default=_named("waveformer"), description="the network to pre-train"
    )
    sparse_backend: SparseBackendField = Field(
        default=_named("cells"), description="what computes on the visible cells"
    )
    masker: MaskerField = Field(default=_named("random"), description="what is hidden")
    views: ViewsField = Field(
        default=_named("single"), description="which crops of a sample are encoded"
    )
    losses: Annotated[tuple[LossField, ...], BeforeValidator(_as_tuple)] = Field(
        default=_named(("mse",)),
        description="terms of the training loss",
    )
    cell: PerAxis | None = Field(
        default=None,
        description="smallest box that is hidden or shown as a whole, in voxels (z, y, x); "
        "default: the backbone's total stride",
        json_schema_extra={"unit": "voxels"},
    )
    encoder_input: Literal["visible", "zeroed"] = Field(
        default="visible",
        description="visible: encode only visible cells; zeroed: the dense baseline, a pass over "
        "the whole volume with hidden voxels set to zero",
    )
    views_at_once: int | None = Field(
        default=None,
        ge=1,
        description="views that are encoded together, at most; the activations of the others are "
        "computed again in the backward pass: less memory, more time, the same gradients. none: "
        "all views of a level",
        json_schema_extra={"unit": "views"},
    )
    feature_encoder: BackboneField | None = Field(
        default=None,
        description="hide features and not the input: the backbone sees the whole volume, its "
        "deepest map is hidden in part, and this network encodes the rest of it for the decoder. "
        "What is hidden reaches the visible features through the backbone. None: the input is "
        "hidden",
    )
    target: Literal["patch_normalised", "voxels", "features"] = Field(
        default="patch_normalised",
        description="what is restored: voxels normalised over each cell, the voxels themselves, or "
        "with a feature_encoder the features that are hidden, detached, normalised over channels",
    )
    normalisation: NormalisationSpec = Field(
        default=NormalisationSpec(), description="of the target, where it is patch_normalised"
    )
    decoder: DecoderField = Field(
        default=_named("spark"),
        description="what restores the volume, in pre-training only; a mapping without a name is "
        "about spark",
    )
    data: DataSpec = Field(description="volumes, crops and held-out split")
    optimizer: OptimizerSpec = Field(default=OptimizerSpec(), description="update rule, schedule")
    trainer: TrainerSpec = Field(default=TrainerSpec(), description="length, devices, logs")
    init: PathText | None = Field(
        default=None,
        description="weights that the backbone starts from: a run's folder, an exported encoder, "
        "or a file that the backbone can read, such as an nnU-Net checkpoint for resunet; none: "
        "random",
    )
    quality: QualitySpec = Field(default=QualitySpec(), description="signals beside the losses")
    probe: ProbeSpec | None = Field(
        default=None, description="labelled volumes for a linear probe of the encoder; none: none"
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="of weights, crops and masks")

    @property
    def cell_size(self) -> Triple:
        """Voxels per cell: `cell`, or the total stride of what is encoded."""
        return times(self.site, self.encoder.total_stride) if self.cell is None else self.cell

    @property
    def encoder(self) -> BackboneConfig:
        """What encodes what is visible: the backbone, or the feature encoder."""
        return self.backbone if self.feature_encoder is None else self.feature_encoder

    @property
    def site(self) -> Triple:
        """Voxels per site of what is hidden: 1, or those of the backbone's deepest map."""
        return (1, 1, 1) if self.feature_encoder is None else self.backbone.total_stride

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Of the maps of what is visible, fine to coarse, with strides in voxels."""
        return magnified(self.encoder.stages(), self.site)

    @property
    def restored_site(self) -> Triple:
        """Voxels per site of what is restored."""
        return self.site if self.target == "features" else (1, 1, 1)

    @property
    def decoder_stages(self) -> tuple[Stage, ...]:
        """The same stages with strides in sites of what is restored, as a decoder is told them."""
        return self.encoder.stages() if self.target == "features" else self.stages

    @property
    def encoded_channels(self) -> int:
        """Channels of what is encoded: of the volume, or of the backbone's deepest map."""
        whole = self.feature_encoder is None
        return self.data.in_channels if whole else self.backbone.stages()[-1].channels

    @property
    def restored_channels(self) -> int:
        """Channels of what is restored."""
        return self.encoded_channels if self.target == "features" else self.data.sample_channels

    @property
    def restores(self) -> bool:
        """True where a loss needs a restored volume: else no decoder is built."""
        return any("restoration" in loss.needs() for loss in self.losses)

    @property
    def shows(self) -> bool:
        """True where what is restored are voxels, which can be drawn and compared."""
        return self.restores and self.target != "features"

    def components(self) -> tuple[ComponentConfig, ...]:
        """Every plugin that a run is made of."""
        decoder = (self.decoder,) if self.restores else ()
        encoders = (self.backbone, *(() if self.feature_encoder is None else (self.encoder,)))
        return (*encoders, self.sparse_backend, self.views, self.masker, *decoder, *self.losses)
