"""The `quality` and `probe` parts of a spec: what is measured beside losses. Imports no torch."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from ssl3d.data.spec import DataSpec
from ssl3d.data.spec_types import PathText
from ssl3d.plugin.section import Section


class QualitySpec(Section):
    """Signals on held-out crops, measured with the held-out loss."""

    images: bool = Field(
        default=True, description="PSNR and SSIM of the restored voxels, in intensities"
    )
    rank: bool = Field(default=True, description="effective rank of each stage's features")
    collapse: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="warn where the rank of a stage is below this share of its channels, or below "
        "2; 0: never",
    )


class ProbeSpec(Section):
    """A linear classifier of voxels on the frozen encoder, for labelled volumes.

    Restoration loss does not rank encoders; how much of a label map can be read off their features
    by a linear map says more. Volumes are prepared as those of `data`; whole groups are fitted or
    tested on.
    """

    images: PathText | tuple[PathText, ...] | dict[str, PathText | tuple[PathText, ...]] = Field(
        description="a pattern with stars, a list of files, or for several channels one of these "
        "for each, as in data.channels"
    )
    labels: PathText | tuple[PathText, ...] = Field(
        description="label maps on the grid of the images, 0 for background: a pattern in which "
        "the stars stand for the same as in images, or a list in the same order"
    )
    group_by: str | None = Field(
        default=None, description="grouping of the labelled volumes, as data.group_by; none: data's"
    )
    group_file: PathText | None = Field(
        default=None, description="the same, as data.group_file; none: data's"
    )
    modality: str | None = Field(
        default=None,
        description="what the labelled volumes were made by, for data.normalise_by_modality",
    )
    volumes: int = Field(default=32, ge=2, description="labelled volumes to use, at most")
    test: float = Field(default=0.5, gt=0, lt=1, description="share of the groups to test on")
    every: int | None = Field(
        default=None,
        ge=1,
        description="steps between measurements; none: before the first and after the last step",
    )
    sites: int = Field(
        default=4096, ge=16, description="sites of the finest stage to fit on, for each volume"
    )

    def data(self, data: DataSpec) -> DataSpec:
        """How the labelled volumes are found and prepared: the label map is the last channel."""
        images = self.images if isinstance(self.images, dict) else {"image": self.images}
        name = "labels"
        while name in images:
            name = f"probe's {name}"
        changes: dict[str, Any] = {"channels": {**images, name: self.labels}, "volumes": None}
        changes["exclude"] = ()  # it may name just these label maps
        changes |= {"visit_by": None, "visit_file": None}  # an encoder sees one volume
        changes |= {"manifest": None, "columns": {}, "valid": None}  # they name data's own files
        changes |= {"modality_by": None, "modality_file": None, "missing_channels": "refuse"}
        how = data.normalise_of(self.modality)
        changes |= {"normalise": how, "normalise_by_modality": None}
        if self.group_by is not None or self.group_file is not None:
            changes |= {"group_by": self.group_by, "group_file": self.group_file}
        return DataSpec(**{**data.model_dump(), **changes})

    @model_validator(mode="after")
    def _files_can_be_matched(self) -> ProbeSpec:
        self.data(DataSpec(volumes="anywhere"))
        return self
