"""The experiment spec: everything that a run is made of, typed and validated as a whole."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ssl3d.data.spec import DataSpec, PathText
from ssl3d.geometry import PerAxis, Triple
from ssl3d.measure.spec import ProbeSpec, QualitySpec
from ssl3d.plugin import spec_file as files
from ssl3d.plugin.field import BackboneField, LossField, MaskerField, SparseBackendField
from ssl3d.plugin.spec_error import SpecError, explain
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.trainer_spec import TrainerSpec
from ssl3d.spec.parts import DecoderSpec
from ssl3d.tasks.pretrain import checks

if TYPE_CHECKING:
    from ssl3d.masked.model import PretrainModel


def _named(default: Any) -> Any:
    """A default component by name; validation makes the config of it."""
    return default


def _as_tuple(value: Any) -> Any:
    """One loss stands for a list of one."""
    return value if isinstance(value, (list, tuple)) else (value,)


class ExperimentSpec(BaseModel):
    """A pre-training experiment. Components are given by name, as a mapping, or as typed configs.

    Validation covers plugin options and how the parts fit together, and happens before any data is
    read and before torch is imported.

    Raises:
        SpecError: a ValueError with one line for each problem.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    backbone: BackboneField = Field(
        default=_named("waveformer"), description="the network to pre-train"
    )
    sparse_backend: SparseBackendField = Field(
        default=_named("cells"), description="what computes on the visible cells"
    )
    masker: MaskerField = Field(default=_named("random"), description="what is hidden")
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
    target: Literal["patch_normalised", "voxels"] = Field(
        default="patch_normalised",
        description="what is restored: voxels normalised over each cell, or the voxels themselves",
    )
    decoder: DecoderSpec = Field(default=DecoderSpec(), description="used in pre-training only")
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

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SpecError(explain(error, model=type(self), given=values)) from None
        found = list(checks.problems(self))
        if found:
            raise SpecError(found)
        for message in checks.warnings_of(self):
            warnings.warn(message, stacklevel=2)

    @property
    def cell_size(self) -> Triple:
        """Voxels per cell: `cell`, or the backbone's total stride."""
        return self.backbone.total_stride if self.cell is None else self.cell

    def replace(self, **changes: Any) -> ExperimentSpec:
        """A validated copy with other values: `spec.replace(sparse_backend="spconv")`."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**values, **changes})

    def with_values(self, values: dict[str, Any]) -> ExperimentSpec:
        """A validated copy with values set by path: `{"optimizer.lr": 1e-3}`.

        A component's name replaces the component with all its options:
        `{"masker": "random"}`.
        """
        return type(self)(**files.set_values(self.to_dict(), values))

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, every default filled in."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """JSON that `from_json` reads back to an equal spec."""
        return self.model_dump_json(indent=2)

    def to_yaml(self) -> str:
        """YAML that `from_yaml` reads back to an equal spec."""
        return files.to_yaml(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> ExperimentSpec:
        """Read `to_json`'s output; raises SpecError."""
        return cls(**files.from_json(text))

    @classmethod
    def from_yaml(cls, text: str) -> ExperimentSpec:
        """Read YAML; raises SpecError."""
        return cls(**files.from_yaml(text))

    @classmethod
    def load(cls, path: str | Path) -> ExperimentSpec:
        """Read a `.py` file that defines `spec`, a `.yaml`/`.yml` or a `.json` file.

        Raises:
            SpecError: the file is absent, not readable as such, or its spec cannot run.
        """
        return files.load(cls, Path(path))

    def build(self) -> PretrainModel:
        """The untrained model, with weights drawn from `seed`; see `PretrainModel`."""
        from ssl3d.masked.build import build_model

        return build_model(self)
