"""What a run reads and how it prepares it: the `data` part of an experiment. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ssl3d.data.augment_spec import CropChanges
from ssl3d.data.columns import VolumeColumns
from ssl3d.data.intensity_spec import Normalise, Percentile
from ssl3d.data.sampling_spec import BY_FILE, Sampling
from ssl3d.data.spec_checks import check_channels, check_expression, check_source
from ssl3d.data.spec_types import Patch, PathText, Spacing
from ssl3d.data.valid_spec import ValidRegion
from ssl3d.data.workers import Workers
from ssl3d.plugin.section import Section


class ForegroundSpec(Section):
    """Which voxels are foreground, and how many crops are centred on one of them."""

    threshold: Literal["otsu", "none"] | float = Field(
        "otsu",
        description='voxels above it are foreground: "otsu" (found per volume), a number in the '
        'unit of the files (HU for CT), or "none" (every voxel is)',
    )
    share: float = Field(
        0.8, ge=0, le=1, description="share of training crops centred on a foreground voxel"
    )
    margin: int | None = Field(
        None,
        ge=0,
        le=2048,
        description="cut prepared volumes to the box around their foreground, this much larger on "
        "each side, in voxels; none: they are kept whole",
        json_schema_extra={"unit": "voxels"},
    )


class CacheSpec(Section):
    """Where prepared volumes are kept between crops."""

    memory: float = Field(
        4.0,
        ge=0,
        description="bound for volumes kept in memory, all workers of a rank, in GiB",
        json_schema_extra={"unit": "GiB"},
    )
    folder: PathText | None = Field(
        None,
        description="folder for what goes beyond it, as chunked compressed arrays; none: "
        "ssl3d/volumes in the user's cache directory",
    )
    disk: float | None = Field(
        None,
        gt=0,
        description="bound for all volumes in that folder, in GiB: those go first whose use is "
        "longest ago; none: it grows",
        json_schema_extra={"unit": "GiB"},
    )


class DataSpec(Section):
    """Volumes of a run and their preparation. Triples are z, y, x; one number stands for three.

    Give either `volumes` (one file a sample), `channels` (several co-registered files a sample) or
    a `manifest`. Paths are kept as written; relative ones start from the current directory.
    """

    volumes: PathText | tuple[PathText, ...] | None = Field(
        None,
        description="a folder (searched at any depth), a file, a glob, or a list of these",
    )
    exclude: tuple[PathText, ...] = Field(
        (),
        description="glob patterns of files that are left out, compared with the end of the path: "
        "*_seg.nii.gz, labels/*, derivatives/**",
    )
    channels: dict[str, PathText | tuple[PathText, ...]] | None = Field(
        None,
        description='per channel a pattern, such as {"t1": "*_t1.nii.gz", "t2": "*_t2.nii.gz"} '
        "(files belong together where the stars stand for the same), or a list of files, in the "
        "same order for every channel",
    )
    manifest: PathText | None = Field(
        None,
        description="CSV, TSV or JSON (a list of objects) with a row for each sample: image, "
        "group, modality, visit, weight, valid; relative paths start from its folder. `ssl3d "
        "manifest` writes one",
    )
    columns: VolumeColumns = Field(VolumeColumns(), description="names of its columns")
    missing_channels: Literal["refuse", "allow"] = Field(
        "refuse",
        description="samples without some of the channels: an error, or let in. An absent channel "
        "is 0 to the encoder and counts in no loss and no number",
    )
    valid: PathText | tuple[PathText, ...] | None = Field(
        None,
        description="masks, 0 where a volume says nothing, on the grids of the volumes: a pattern "
        "in which the stars stand for the same as in volumes or channels, or a list in the same "
        "order",
    )
    store: PathText | None = Field(
        None,
        description="folder that `ssl3d prepare` filled by this spec: volumes are read from it, "
        "prepared, and the files need not be there; none: from the files",
    )
    patch: Patch = Field(
        (96, 96, 96),
        description="crop size, in voxels",
        json_schema_extra={"unit": "voxels"},
    )
    batch_size: int = Field(
        2,
        ge=1,
        le=65536,
        description="crops per micro-batch and rank",
        json_schema_extra={"unit": "crops"},
    )
    spacing: Spacing | None = Field(
        None,
        description="voxel size to resample to, in mm; none: as in the files",
        json_schema_extra={"unit": "mm"},
    )
    normalise: Normalise = Field(
        Percentile(), description="intensities: ct_window, percentile or zscore"
    )
    valid_region: ValidRegion = Field(
        ValidRegion(), description="voxels that say nothing, found in each volume; off by default"
    )
    normalise_by_modality: dict[str, Normalise] | None = Field(
        None,
        description="the same for volumes of a modality, as {CT: {name: ct_window}, MR: zscore}; "
        "those of others go by normalise",
    )
    foreground: ForegroundSpec = Field(ForegroundSpec(), description="foreground-aware crops")
    flips: tuple[bool, bool, bool] = Field(
        (True, True, True), description="axes along which a training crop may be flipped"
    )
    augment: CropChanges = Field(
        CropChanges(), description="how training crops are changed beside flips; what is 0 is off"
    )
    holdout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of the groups (files, where there is no grouping) held out; above 0 at "
        "least one group, as long as there are two",
    )
    holdout_crops: int = Field(
        2,
        ge=1,
        le=65536,
        description="fixed crops per held-out volume",
        json_schema_extra={"unit": "crops"},
    )
    group_by: str | None = Field(
        None,
        description="regular expression with one group, searched in the file name, then in the "
        "path: files with the same match stay on one side of the split",
    )
    group_file: PathText | None = Field(
        None,
        description="JSON object {file name: group}, or CSV or TSV with the columns name and "
        "group; the file name with or without its ending, with its folders where files of several "
        "folders have one name",
    )
    visit_by: str | None = Field(
        None,
        description="regular expression as group_by: volumes with the same match are of one visit "
        "and on one grid; every two of them are a sample, for the views pair",
    )
    visit_file: PathText | None = Field(
        None, description="the same as a file, as group_file: the group is the visit"
    )
    modality_by: str | None = Field(
        None,
        description="regular expression as group_by: its match is what a volume was made by, such "
        "as CT or T1w; none: as a manifest or the header of DICOM says",
    )
    modality_file: PathText | None = Field(
        None, description="the same as a file, as group_file: the group is the modality"
    )
    sampling: Sampling = Field(
        BY_FILE,
        description="how often each volume is seen: every file, group or modality alike often, by "
        "size (patches that a volume has room for) or by the weight of a manifest; or a mixture, "
        'as {"file": 1, "group": 3}: a quarter of the crops goes by files',
    )
    cache: CacheSpec = Field(CacheSpec(), description="prepared volumes in memory and on disk")
    workers: Workers = Field(
        "auto",
        description="reading processes per rank; 0: the main process; auto: a CPU each, and one "
        "for training itself, at most 16, or 2 where no GPU trains",
    )
    on_bad_file: Literal["skip", "stop"] = Field(
        "skip", description="go on without a file that cannot be used and report it, or stop"
    )
    max_bad_share: float = Field(
        0.5, ge=0, le=1, description="stop when more than this share of the samples is bad"
    )
    max_non_finite: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="largest share of NaN and infinite voxels in a file; up to it they are marked "
        "invalid, beyond it the file is bad",
    )

    def normalise_of(self, modality: str | None) -> Normalise:
        """How volumes of a modality are normalised."""
        return (self.normalise_by_modality or {}).get(modality or "", self.normalise)

    @property
    def in_channels(self) -> int:
        """Channels that an encoder sees."""
        if self.manifest is not None:
            return len(self.columns.images)
        return 1 if self.channels is None else len(self.channels)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """What the channels are called; empty where there is one without a name."""
        if self.manifest is not None and self.in_channels > 1:
            return self.columns.images
        return tuple(self.channels or ())

    @property
    def pairs(self) -> bool:
        """True where a sample is two volumes of a visit."""
        by_column = self.manifest is not None and self.columns.visit is not None
        return self.visit_by is not None or self.visit_file is not None or by_column

    @property
    def sample_channels(self) -> int:
        """Channels of a sample: those that an encoder sees, twice where it is a pair."""
        return self.in_channels * (2 if self.pairs else 1)

    @property
    def grouped(self) -> bool:
        """True where several samples may have to stay on one side of the split."""
        return self.group_by is not None or self.group_file is not None or self.pairs

    @model_validator(mode="after")
    def _check_source(self) -> DataSpec:
        check_source(
            volumes=self.volumes, channels=self.channels, manifest=self.manifest, valid=self.valid
        )
        if self.manifest is not None and self.exclude:
            raise ValueError("exclude is for volumes and channels: delete the rows of the manifest")
        if self.manifest is None and self.columns != VolumeColumns():
            raise ValueError("columns names those of a manifest, and none is given")
        if self.group_by is not None and self.group_file is not None:
            raise ValueError("group_by and group_file are both given: give one of them")
        if self.visit_by is not None and self.visit_file is not None:
            raise ValueError("visit_by and visit_file are both given: give one of them")
        if self.columns.visit is not None and (self.visit_by or self.visit_file):
            raise ValueError("columns.visit and visit_by or visit_file are given: give one of them")
        if self.modality_by is not None and self.modality_file is not None:
            raise ValueError("modality_by and modality_file are both given: give one of them")
        if self.missing_channels == "allow" and self.in_channels < 2:
            raise ValueError("missing_channels is 'allow', and there is one channel: leave it out")
        if self.pairs and (self.channels is not None or self.in_channels > 1):
            raise ValueError(
                "channels and visit_by or visit_file are given: volumes of a visit are single "
                "files, give them as volumes"
            )
        return self

    @field_validator("channels")
    @classmethod
    def _check_channels(
        cls, channels: dict[str, str | tuple[str, ...]] | None
    ) -> dict[str, str | tuple[str, ...]] | None:
        return None if channels is None else check_channels(channels)

    @field_validator("group_by", "visit_by", "modality_by")
    @classmethod
    def _check_expression(cls, expression: str | None) -> str | None:
        return None if expression is None else check_expression(expression)
