"""From the paths in a spec to the samples of a run."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ssl3d.data.data_error import DataError, shown
from ssl3d.data.spec import DataSpec

ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")


@dataclass(frozen=True)
class Source:
    """One sample: a file per channel, in the order of the spec."""

    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Path of the first channel as text: what reports call this sample."""
        return shown(self.files[0])


def find_sources(spec: DataSpec) -> list[Source]:
    """Samples of a run, sorted by path; no file is opened.

    Raises:
        DataError: nothing found, an ending that cannot be read, a sample that lacks a channel.
    """
    if spec.channels is not None:
        return _find_channels(spec.channels)
    assert spec.volumes is not None
    given = (spec.volumes,) if isinstance(spec.volumes, str) else spec.volumes
    found = {path.resolve(): path for entry in given for path in _expand(entry)}
    return sorted((Source((path,)) for path in found.values()), key=lambda source: source.name)


def stem(path: Path) -> str:
    """File name without the ending of a volume."""
    for ending in ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def _is_volume(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS)


def _checked(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"data: there is no file {str(path)!r} (seen from {Path.cwd()})")
    if not _is_volume(path):
        raise DataError(f"data: {str(path)!r} is no volume: known endings are {', '.join(ENDINGS)}")
    return path


def _expand(entry: str) -> Iterable[Path]:
    path = Path(entry).expanduser()
    if path.is_dir():
        # Dot files are leftovers of copying tools ("._case.nii.gz"), never volumes.
        inside = [p for p in path.rglob("*") if not p.name.startswith(".") and p.is_file()]
        volumes = [p for p in inside if _is_volume(p)]
        if not volumes:
            raise DataError(
                f"data.volumes: the folder {entry!r} holds {len(inside)} files, none of them a "
                f"volume ({', '.join(ENDINGS)})"
            )
        return volumes
    if path.is_file() or not glob.has_magic(entry):
        return [_checked(path)]
    matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
    volumes = [match for match in matches if match.is_file() and _is_volume(match)]
    if not volumes:
        raise DataError(
            f"data.volumes: the glob {entry!r} matches {len(matches)} paths, none of them a volume "
            f"({', '.join(ENDINGS)}), seen from {Path.cwd()}"
        )
    return volumes


def _find_channels(channels: dict[str, str | tuple[str, ...]]) -> list[Source]:
    lists = [value for value in channels.values() if not isinstance(value, str)]
    if lists:
        columns = [[_checked(Path(file).expanduser()) for file in files] for files in lists]
        sources = [Source(files) for files in zip(*columns, strict=True)]
    else:
        by_stars = {
            name: _match_stars(name, pattern)
            for name, pattern in channels.items()
            if isinstance(pattern, str)
        }
        _check_complete(by_stars)
        keys = next(iter(by_stars.values()))
        sources = [Source(tuple(files[key] for files in by_stars.values())) for key in keys]
    return sorted(sources, key=lambda source: source.name)


def _match_stars(name: str, pattern: str) -> dict[tuple[str, ...], Path]:
    """Files of one channel by what the stars stand for."""
    expanded = str(Path(pattern).expanduser())
    expression = re.compile("([^/]*)".join(re.escape(part) for part in expanded.split("*")))
    files: dict[tuple[str, ...], Path] = {}
    for found in glob.glob(expanded):
        match = expression.fullmatch(found)
        if match is not None:
            files[match.groups()] = _checked(Path(found))
    if not files:
        raise DataError(
            f"data.channels.{name}: {pattern!r} matches no file, seen from {Path.cwd()}"
        )
    return files


def _check_complete(by_stars: dict[str, dict[tuple[str, ...], Path]]) -> None:
    lacking = []
    for key in sorted({key for files in by_stars.values() for key in files}):
        absent = [name for name, files in by_stars.items() if key not in files]
        if absent:
            lacking.append(f"{'/'.join(key)} lacks {' and '.join(absent)}")
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise DataError(
            f"data.channels: {len(lacking)} samples have not every channel: "
            f"{'; '.join(lacking[:5])}{more}. Add the files, narrow the patterns, or list the files"
        )
