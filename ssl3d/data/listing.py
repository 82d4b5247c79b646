"""The files of a run, as its folder keeps them: what is trained on and what is held out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssl3d.data.data_error import BadVolume
from ssl3d.data.scan import files_of
from ssl3d.data.source import Source
from ssl3d.files import write_json

FORMAT = 1


@dataclass(frozen=True)
class ListedFile:
    """A file as it was when the run looked for it.

    Attributes:
        path: the whole path.
        size: in bytes, with those of a file beside it that holds its voxels.
        modified: time of the last change of either, in nanoseconds since 1970.
    """

    path: str
    size: int
    modified: int


@dataclass(frozen=True)
class ListedSample:
    """A sample of a run.

    Attributes:
        files: one for each channel.
        group: that it belongs to; None where the spec has no grouping.
        missing: True where it left the run. It keeps its side, should it come back.
        modality: that it was prepared by, "" for none.
        valid: mask of its valid voxels, where there is one.
        weight: that it was drawn by.

    Where a list is of before they were listed, modality and weight are None.
    """

    files: tuple[ListedFile, ...]
    group: str | None
    missing: bool = False
    modality: str | None = None
    valid: ListedFile | None = None
    weight: float | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Path of each channel's file: what tells samples apart."""
        return tuple(file.path for file in self.files)


@dataclass(frozen=True)
class Listing:
    """Both sides of a run's split, each in the order that its crops are drawn by.

    Attributes:
        folder: where relative paths of the spec start from: where the run was begun.
        training: what is trained on.
        held_out: what never is.
    """

    folder: str
    training: tuple[ListedSample, ...]
    held_out: tuple[ListedSample, ...]

    @property
    def samples(self) -> tuple[ListedSample, ...]:
        """Those of both sides."""
        return self.training + self.held_out

    def write(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, {"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> Listing:
        """Read what `write` wrote; raises ValueError."""
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"it has another format than {FORMAT}")
        try:
            training, held_out = ([listed_sample(one) for one in content[side]] for side in SIDES)
            return cls(str(content["folder"]), tuple(training), tuple(held_out))
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is incomplete: {error!r}") from error


SIDES = ("training", "held_out")


def listed_sample(content: dict[str, Any]) -> ListedSample:
    """A sample from plain values; raises KeyError and TypeError."""
    files = tuple(ListedFile(**file) for file in content["files"])
    valid = content.get("valid") and ListedFile(**content["valid"])
    return ListedSample(
        files,
        group=content["group"],
        missing=content["missing"],
        modality=content.get("modality"),
        valid=valid,
        weight=content.get("weight"),
    )


def listed(sources: Sequence[Source], *, groups: Sequence[str | None]) -> list[ListedSample]:
    """How samples are listed.

    Raises:
        BadVolume: a file is gone.
    """
    pairs = zip(sources, groups, strict=True)
    return [
        ListedSample(
            tuple(map(_file, source.files)),
            group,
            modality=source.modality or "",
            valid=None if source.valid is None else _file(source.valid),
            weight=source.weight,
        )
        for source, group in pairs
    ]


def _file(path: Path) -> ListedFile:
    try:
        stats = [part.stat() for part in files_of(path)]
    except OSError as error:
        raise BadVolume(path.as_posix(), f"cannot be read: {error.strerror}") from error
    size, modified = sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)
    return ListedFile(str(path.absolute()), size=size, modified=modified)
