"""What is in a store: `store.json`, written last, so that a store without one is not finished."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ssl3d.data.data_error import DataError, shown
from ssl3d.data.disk_cache import FORMAT
from ssl3d.data.listing import ListedSample, listed_sample
from ssl3d.data.sizes import Grid
from ssl3d.data.source import Source
from ssl3d.files import write_json

MANIFEST, FINISHED, VOLUMES = "store.json", "finished.jsonl", "volumes"
"""Names in a store's folder. The second has a line for each volume that was ever finished."""

Entry = dict[str, Any]
"""A volume in words and numbers: what `stored.one` writes of it."""


@dataclass(frozen=True)
class StoredSample:
    """A sample of a store.

    Attributes:
        source: its files, with whole paths.
        listed: the files as they were when they were read.
        group: that stays on one side of a split.
        visit: None where the spec has no visits.
        grid: of its first file, before it is resampled.
        problem: why it cannot be used; None where it can.
        volume: about its prepared volume; None where there is none.
    """

    source: Source
    listed: ListedSample
    group: str
    visit: str | None
    grid: Grid
    problem: str | None
    volume: Entry | None


@dataclass(frozen=True)
class Manifest:
    """What is in a store.

    Attributes:
        written_by: version of ssl3d.
        options: by which it was filled; see `stored_options`.
        samples: in the order that they are split in.
        unusable: {sample: problem} of those that their headers rule out.
    """

    written_by: str
    options: Mapping[str, Any]
    samples: Sequence[StoredSample]
    unusable: Mapping[str, str]

    def write(self, store: Path) -> None:
        """Write as JSON, whole or not at all."""
        content = {
            "format": FORMAT,
            "written_by": self.written_by,
            "options": self.options,
            "samples": [_plain(sample) for sample in self.samples],
            "unusable": self.unusable,
        }
        write_json(store / MANIFEST, {**content, "checksum": _checksum(content)})

    @classmethod
    def read(cls, store: Path) -> Manifest:
        """Read what `write` wrote.

        Raises:
            DataError: there is no store, or one that is not finished, damaged or of another format.
        """
        path = store / MANIFEST
        fill = "fill it by ssl3d prepare"
        again = f"{fill}, which keeps the volumes that are finished"
        if not path.exists():
            what = "is not finished" if (store / VOLUMES).is_dir() else "is no store"
            raise DataError(f"data.store: {shown(store)} {what}, it has no {MANIFEST}: {again}")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise DataError(
                    f"data.store: {shown(path)} has format {content['format']}, this version of "
                    f"ssl3d knows {FORMAT}: {fill}"
                )
            if content.pop("checksum") != _checksum(content):
                raise ValueError("its checksum is another")
            samples = [_sample(sample) for sample in content["samples"]]
            return cls(content["written_by"], content["options"], samples, content["unusable"])
        except DataError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"data.store: {shown(path)} cannot be read ({error!r}): {again}"
            ) from error


def source_plain(source: Source) -> dict[str, Any]:
    """A source as plain values, whatever fields it has."""
    plain = {field.name: getattr(source, field.name) for field in fields(source)}
    values: dict[str, Any] = json.loads(json.dumps(plain, default=str))
    return values


def _plain(sample: StoredSample) -> dict[str, Any]:
    return {
        "source": source_plain(sample.source),
        "listed": asdict(sample.listed),
        "group": sample.group,
        "visit": sample.visit,
        "grid": sample.grid._asdict(),
        "problem": sample.problem,
        "volume": sample.volume,
    }


def _sample(content: dict[str, Any]) -> StoredSample:
    source, listed, grid = (content.pop(name) for name in ("source", "listed", "grid"))
    paths = {
        "files": tuple(map(Path, source["files"])),
        "valid": source["valid"] and Path(source["valid"]),
        "lacking": tuple(source["lacking"]),
    }
    return StoredSample(
        Source(**{**source, **paths}),
        listed_sample(listed),
        grid=Grid(*(tuple(grid[name]) for name in ("shape", "spacing"))),
        **content,
    )


def _checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of what a manifest says."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
