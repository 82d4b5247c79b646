"""What a run reads and how it prepares it: the `data` part of an experiment. Imports no torch."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from ssl3d.geometry import as_triple
from ssl3d.plugin.section import Section, by_name, name_of
from ssl3d.plugin.shown import shown

Voxels = Annotated[int, Field(ge=1, le=2048)]
Millimetres = Annotated[float, Field(gt=0)]
Patch = Annotated[
    tuple[Voxels, Voxels, Voxels],
    BeforeValidator(as_triple, json_schema_input_type=Voxels | tuple[Voxels, Voxels, Voxels]),
]
Spacing = Annotated[
    tuple[Millimetres, Millimetres, Millimetres],
    BeforeValidator(
        as_triple,
        json_schema_input_type=Millimetres | tuple[Millimetres, Millimetres, Millimetres],
    ),
]


def _as_text(value: Any) -> Any:
    """Accept `pathlib.Path`; leave everything else for pydantic to judge."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(text, str) and not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{text!a} is not UTF-8, which a spec must be: give its folder or a glob"
            ) from error
        try:
            os.fsencode(text)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{text!a} cannot be a file's name here, where Python takes names as "
                f"{error.encoding}: set PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8"
            ) from error
    if isinstance(text, str) and text.startswith("~"):
        try:
            Path(text).expanduser()
        except RuntimeError as error:
            raise ValueError(
                f"{shown(text)} begins with the home of a user that is not known: give "
                "the whole path of a file of this name"
            ) from error
    return text


PathText = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]


class _Range(Section):
    lower: float
    upper: float

    @model_validator(mode="after")
    def _ordered(self) -> _Range:
        if self.lower >= self.upper:
            raise ValueError(
                f"lower is {self.lower:g} and upper is {self.upper:g}: lower must be below upper"
            )
        return self


class CTWindow(_Range):
    """CT numbers from `lower` to `upper` become 0 to 1; what lies outside is clipped."""

    name: Literal["ct_window"] = "ct_window"
    lower: float = Field(-1000.0, description="becomes 0, in HU")
    upper: float = Field(1000.0, description="becomes 1, in HU")


class Percentile(_Range):
    """The volume's own `lower` and `upper` percentiles become 0 and 1, each channel apart.

    Where the two coincide (a volume that is nearly all background) the extremes are used.
    """

    name: Literal["percentile"] = "percentile"
    lower: float = Field(0.5, ge=0, le=100, description="percentile that becomes 0, in percent")
    upper: float = Field(99.5, ge=0, le=100, description="percentile that becomes 1, in percent")
    clip: bool = Field(True, description="clip what lies outside to 0 and 1")


class ZScore(Section):
    """Mean 0 and standard deviation 1 over the foreground, each channel apart."""

    name: Literal["zscore"] = "zscore"


Normalise = Annotated[
    Annotated[CTWindow, Tag("ct_window")]
    | Annotated[Percentile, Tag("percentile")]
    | Annotated[ZScore, Tag("zscore")],
    Discriminator(name_of),
    BeforeValidator(by_name),
]


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

    Give either `volumes` (one file a sample) or `channels` (several co-registered files a sample).
    Paths are kept as written; relative ones start from the current directory.
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
    foreground: ForegroundSpec = Field(ForegroundSpec(), description="foreground-aware crops")
    flips: tuple[bool, bool, bool] = Field(
        (True, True, True), description="axes along which a training crop may be flipped"
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
    cache: CacheSpec = Field(CacheSpec(), description="prepared volumes in memory and on disk")
    workers: int = Field(
        2, ge=0, le=1024, description="reading processes per rank; 0: the main process"
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

    @property
    def in_channels(self) -> int:
        """Channels that an encoder sees."""
        return 1 if self.channels is None else len(self.channels)

    @property
    def pairs(self) -> bool:
        """True where a sample is two volumes of a visit."""
        return self.visit_by is not None or self.visit_file is not None

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
        if (self.volumes is None) == (self.channels is None):
            given = "neither" if self.volumes is None else "both"
            raise ValueError(
                f"{given} given: give either volumes (one file a sample) or channels (several)"
            )
        if self.volumes == ():
            raise ValueError("volumes is an empty list: give a folder, a glob or some files")
        if self.group_by is not None and self.group_file is not None:
            raise ValueError("group_by and group_file are both given: give one of them")
        if self.visit_by is not None and self.visit_file is not None:
            raise ValueError("visit_by and visit_file are both given: give one of them")
        if self.pairs and self.channels is not None:
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

    @field_validator("group_by", "visit_by")
    @classmethod
    def _check_expression(cls, expression: str | None) -> str | None:
        return None if expression is None else check_expression(expression)


def check_channels(
    channels: dict[str, str | tuple[str, ...]],
) -> dict[str, str | tuple[str, ...]]:
    """Files that belong together: all patterns with as many stars, or all lists of one length.

    Raises:
        ValueError: they are neither.
    """
    if not channels:
        raise ValueError("channels is empty: give at least one channel")
    patterns = {name: value for name, value in channels.items() if isinstance(value, str)}
    if not patterns:
        lengths = {name: len(value) for name, value in channels.items()}
        if len(set(lengths.values())) > 1 or 0 in lengths.values():
            raise ValueError(f"the lists have {lengths} files: give the same number, above 0")
        return channels
    if len(patterns) < len(channels):
        raise ValueError("patterns and lists are mixed: give one form for all channels")
    stars = {name: value.count("*") for name, value in patterns.items()}
    if len(set(stars.values())) > 1 or 0 in stars.values():
        raise ValueError(f"the patterns have {stars} stars: give the same number, above 0")
    for name, value in patterns.items():
        if re.search(r"\*\*|[?\[\]]", value):
            raise ValueError(
                f"channel {shown(name)}: {shown(value)}: only single stars are allowed here"
            )
    return channels


def check_expression(group_by: str) -> str:
    """A regular expression with one group.

    Raises:
        ValueError: it is none.
    """
    try:
        groups = re.compile(group_by).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{shown(group_by)} is not a regular expression: {error}") from error
    if groups != 1:
        raise ValueError(
            f"{shown(group_by)} has {groups} groups: put parentheses around exactly the part "
            "that names the group, such as (sub-[0-9]+)"
        )
    return group_by
