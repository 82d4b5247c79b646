"""Labelled volumes: the `data` part of a fine-tuning spec. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ssl3d.data.intensity_spec import Normalise
from ssl3d.data.labelled.columns import ManifestColumns
from ssl3d.data.spec import CacheSpec, DataSpec
from ssl3d.data.spec_checks import check_channels, check_expression
from ssl3d.data.spec_types import PathText, Spacing
from ssl3d.data.workers import Workers
from ssl3d.plugin.section import Section

Files = PathText | tuple[PathText, ...]
Threshold = Literal["otsu", "none"] | float
Count = Annotated[int, Field(ge=1, le=65536)]


class LabelledData(Section):
    """Labelled volumes and who is trained on. Triples are z, y, x; one number stands for three.

    Give `images` (with `labels`, or with a `manifest` that names them), or a `manifest` alone,
    whose paths start from its own folder. Where nothing else is said, volumes are prepared as the
    encoder's were.
    """

    images: Files | dict[str, Files] | None = Field(
        None,
        description="a pattern with stars or a list of files, for several channels one of these "
        "for each; without `labels` also a folder",
    )
    labels: Files | None = Field(
        None,
        description="label maps on the grid of the images: a pattern in which the stars stand for "
        "the same as in images, or a list in the same order",
    )
    manifest: PathText | None = Field(
        None,
        description="CSV, TSV or JSON (a list of objects) with a row for each case: image, label, "
        "targets, group, stratum, fold. Beside `images` its image column names them by the end of "
        "their paths, with or without the ending",
    )
    columns: ManifestColumns = Field(ManifestColumns(), description="names of its columns")
    exclude: tuple[PathText, ...] = Field((), description="as data.exclude of a pre-training spec")
    points: PathText | None = Field(
        None,
        description="CSV, TSV or JSON of finds: image, x, y, z, and the targets that a find has of "
        "its own",
    )
    points_in: Literal["voxels", "ras", "lps"] = Field(
        "voxels",
        description="what x, y, z are: indices along the file's own axes, from 0, or mm, with x to "
        "the right and y to the front (ras, NIfTI) or to the left and to the back (lps, DICOM)",
    )
    group_by: str | None = Field(
        None, description="regular expression with one group that names the person, in the path"
    )
    group_file: PathText | None = Field(
        None, description="JSON, CSV or TSV of file name and person, as for pre-training"
    )
    folds: int = Field(5, ge=2, le=1000, description="parts that take turns in being tested on")
    fold: int = Field(0, ge=0, description="the part that is tested on, from 0")
    subjects: int | None = Field(
        None,
        ge=1,
        description="persons to learn from, of those in the other folds, drawn by subset_seed: 5 "
        "are among 10; none: all",
    )
    choose: float = Field(
        0.2,
        gt=0,
        le=0.5,
        description="share of these persons that the best checkpoint is chosen by, where it is",
    )
    spacing: Spacing | None = Field(
        None,
        description="voxel size to resample to, in mm; none: as the encoder's",
        json_schema_extra={"unit": "mm"},
    )
    normalise: Normalise | None = Field(None, description="intensities; none: as the encoder's")
    modality: str | None = Field(
        None,
        description="what the images were made by, such as CT, where an encoder's volumes were "
        "normalised by their modality",
    )
    foreground: Threshold | None = Field(
        None,
        description='voxels above it are foreground: "otsu", a number or "none"; none: as '
        "the encoder's",
    )
    batch_size: int = Field(
        2,
        ge=1,
        le=65536,
        description="cases per micro-batch and rank",
        json_schema_extra={"unit": "cases"},
    )
    crops: int = Field(
        1, ge=1, le=4096, description="crops of a case in a step; for targets they are pooled"
    )
    foreground_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of training crops centred on a labelled voxel, each class that the case "
        "has as often as the others; for targets on a voxel of the foreground",
    )
    point_share: float = Field(
        0.5, ge=0, le=1, description="share of a case's training crops centred on one of its points"
    )
    evaluation_crops: Count | Literal["tiles"] = Field(
        "tiles",
        description="fixed crops to measure a case by: so many, the first in its middle, or tiles "
        "that cover it",
    )
    cache: CacheSpec = Field(CacheSpec(), description="prepared volumes in memory and on disk")
    workers: Workers = Field(
        "auto",
        description="reading processes per rank; 0: the main process; auto: a CPU each, and one "
        "for training itself, at most 16, or 2 where no GPU trains",
    )
    on_bad_file: Literal["skip", "stop"] = Field(
        "stop", description="stop at a case that cannot be used, or go on without it and report it"
    )
    max_bad_share: float = Field(
        0.5, ge=0, le=1, description="stop when more than this share of the cases is bad"
    )
    max_non_finite: float = Field(
        0.05, ge=0, lt=1, description="largest share of NaN and infinite voxels in an image"
    )

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels of an image."""
        if self.images is None:
            return self.columns.images
        return tuple(self.images) if isinstance(self.images, dict) else ("image",)

    def finding(self) -> DataSpec:
        """How `images` and `labels` are found and grouped: the label map is the last channel.

        Messages name the channels below "data".
        """
        files: dict[str, Files] = {}
        if isinstance(self.images, dict):
            files = {f"images.{name}": value for name, value in self.images.items()}
        elif self.images is not None:
            files = {"images": self.images}
        if self.labels is not None:
            files["labels"] = self.labels
        plain = len(files) < 2 and not isinstance(self.images, dict)
        return DataSpec(
            volumes=self.images or self.manifest if plain else None,
            channels=None if plain else files,
            exclude=self.exclude,
            group_by=self.group_by,
            group_file=self.group_file,
        )

    @field_validator("group_by")
    @classmethod
    def _check_expression(cls, group_by: str | None) -> str | None:
        return None if group_by is None else check_expression(group_by)

    @model_validator(mode="after")
    def _check_source(self) -> LabelledData:
        if self.images is None and self.manifest is None:
            raise ValueError("neither images nor manifest given: give one of them, or both")
        if self.images is None and (self.labels is not None or self.exclude):
            raise ValueError("labels and exclude are for images: a manifest alone names its files")
        if self.images in ((), {}):
            raise ValueError("images is empty: give a pattern or some files")
        if self.group_by is not None and self.group_file is not None:
            raise ValueError("group_by and group_file are both given: give one of them")
        if self.fold >= self.folds:
            raise ValueError(
                f"fold is {self.fold} and folds is {self.folds}: folds are counted from 0, the "
                f"last is {self.folds - 1}"
            )
        if self.images is not None:
            files = self.images if isinstance(self.images, dict) else {"images": self.images}
            if self.labels is not None or isinstance(self.images, dict):
                labels = {} if self.labels is None else {"labels": self.labels}
                check_channels({**files, **labels})
        return self
