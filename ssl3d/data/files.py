"""From the paths in a spec to the samples of a run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from glob import has_magic
from pathlib import Path

from ssl3d.data.data_error import DataError, DataWarning, shown
from ssl3d.data.dicom.among import series_among
from ssl3d.data.dicom.candidates import ENDING
from ssl3d.data.manifest import manifest_sources
from ssl3d.data.names import Names
from ssl3d.data.notes import Notes
from ssl3d.data.present import say_lacking
from ssl3d.data.search import matches, search, search_glob
from ssl3d.data.source import Source as Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.volume_path import ENDINGS as ENDINGS
from ssl3d.data.volume_path import is_volume
from ssl3d.data.volume_path import one_volume as one_volume
from ssl3d.data.volume_path import stem as stem


def find_sources(
    spec: DataSpec, *, folder: Path | None = None, option: str | None = None
) -> list[Source]:
    """Samples of a run, sorted by path; no file is opened.

    `exclude` sees paths from `folder`, where the run was begun; none: as they are given. Messages
    call channels by their names below `option`, such as "data"; none: as a `DataSpec` does.

    What is passed over on the way, such as links that lead nowhere, folders that cannot be searched
    and files that `exclude` leaves out, is said (`DataWarning`).

    Raises:
        DataError: nothing found, an ending that cannot be read, a sample that lacks a channel.
    """
    notes = Notes()
    try:
        if spec.manifest is not None:
            sources = manifest_sources(spec)
            say_lacking(sources, names=spec.channel_names)
            return sorted(sources, key=lambda source: source.name)
        if spec.valid is not None:
            sources = _find_with_masks(spec, notes, option=option or "data")
        elif spec.channels is not None:
            where, optional = option or "data.channels", _optional(spec, spec.channels)
            sources = _find_channels(spec.channels, notes, option=where, optional=optional)
        else:
            assert spec.volumes is not None
            where = "data.volumes" if option is None else f"{option}.images"
            given = (spec.volumes,) if isinstance(spec.volumes, str) else spec.volumes
            sources = [
                Source((path,)) for entry in given for path in _expand(entry, notes, option=where)
            ]
        sources = _each_once(sources, notes)
        sources = _without_excluded(sources, spec.exclude, folder=folder)
    finally:
        notes.say()
    say_lacking(sources, names=spec.channel_names)
    return sorted(sources, key=lambda source: source.name)


def _each_once(sources: Sequence[Source], notes: Notes) -> list[Source]:
    """Each sample once, under the name that was given first, whatever links lead to its files, and
    however many copies there are of a series."""
    found: dict[tuple[Path, ...], Source] = {}
    names = Names()
    for source in sources:
        first = found.setdefault(tuple(map(names.first, source.files)), source)
        path, before = source.files[0], first.files[0]
        if path.absolute() != before.absolute():
            how = "shares slices with" if path.suffix == ENDING else "is another name of"
            notes.add(path, f"{how} {shown(before)} and counts once")
        elif source is not first and len(source.files) > 1:  # lists that were paired by hand
            notes.add(path, "is given more than once and counts once")
    return list(found.values())


def _without_excluded(
    sources: list[Source], patterns: Sequence[str], *, folder: Path | None
) -> list[Source]:
    """Samples of which no file matches a pattern; how many each leaves out is said."""
    for pattern in patterns:
        kept = [
            source
            for source in sources
            if not any(matches(file, pattern, folder=folder) for file in source.files)
        ]
        warnings.warn(
            f"data.exclude: {pattern!r} leaves out {len(sources) - len(kept)} of {len(sources)} "
            "samples",
            DataWarning,
            stacklevel=3,
        )
        sources = kept
    if not sources:
        raise DataError(f"data.exclude: {list(patterns)} leave out every sample")
    return sources


def _expand(entry: str, notes: Notes, *, option: str) -> list[Path]:
    path = Path(entry).expanduser()
    try:
        if path.is_file():
            return [one_volume(path, notes=notes)]
        if path.is_dir():
            what, found = f"the folder {entry!r} holds", search(path, ("**", "*"), notes=notes)
        elif has_magic(entry):
            what, found = f"the glob {entry!r} matches", search_glob(str(path), notes=notes)
        else:
            return [one_volume(path, notes=notes)]
    except OSError as error:
        raise DataError(f"{option}: {entry!r} cannot be read: {error.strerror}") from error
    series = series_among(found, notes=notes, matched=not path.is_dir())
    volumes = [file for file in found if is_volume(file)] + series
    if not volumes:
        raise DataError(
            f"{option}: {what} {len(found)} files, none of them a volume "
            f"({', '.join(ENDINGS)}, or a series of DICOM), seen from {Path.cwd()}"
        )
    return volumes


def _optional(spec: DataSpec, channels: Collection[str]) -> Collection[str]:
    """Channels that a sample may lack, as long as it has one of them."""
    return channels if spec.missing_channels == "allow" else ()


def _find_channels(
    channels: dict[str, str | tuple[str, ...]],
    notes: Notes,
    *,
    option: str,
    optional: Collection[str] = (),
) -> list[Source]:
    lists = [value for value in channels.values() if not isinstance(value, str)]
    if lists:
        columns = [
            [one_volume(Path(file).expanduser(), notes=notes) for file in files] for files in lists
        ]
        return [Source(files) for files in zip(*columns, strict=True)]
    by_stars = {
        name: _match_stars(f"{option}.{name}", pattern, notes)
        for name, pattern in channels.items()
        if isinstance(pattern, str)
    }
    _check_complete(by_stars, option=option, optional=optional)
    keys = dict.fromkeys(key for files in by_stars.values() for key in files)
    return [
        Source(
            tuple(files[key] for files in by_stars.values() if key in files),
            lacking=tuple(i for i, files in enumerate(by_stars.values()) if key not in files),
        )
        for key in keys
    ]


def _find_with_masks(spec: DataSpec, notes: Notes, *, option: str) -> list[Source]:
    """Samples and the masks that belong to them, which are found as one channel more."""
    assert spec.valid is not None
    files = {f"channels.{name}": value for name, value in (spec.channels or {}).items()}
    if spec.volumes is not None:
        files = {"volumes": spec.volumes}
    found = _find_channels(
        {**files, "valid": spec.valid}, notes, option=option, optional=_optional(spec, files)
    )
    return [replace(one, files=one.files[:-1], valid=one.files[-1]) for one in found]


def _match_stars(option: str, pattern: str, notes: Notes) -> dict[tuple[str, ...], Path]:
    """Files of one channel by what the stars stand for."""
    expanded = str(Path(pattern).expanduser())
    expression = re.compile("([^/]*)".join(re.escape(part) for part in expanded.split("*")))
    files: dict[tuple[str, ...], Path] = {}
    for found in search_glob(expanded, notes=notes):
        match = expression.fullmatch(str(found))
        assert match is not None, "a path found by a pattern matches it"
        files[match.groups()] = one_volume(found, notes=notes)
    if not files:
        raise DataError(f"{option}: {pattern!r} matches no file, seen from {Path.cwd()}")
    return files


def _check_complete(
    by_stars: dict[str, dict[tuple[str, ...], Path]], *, option: str, optional: Collection[str]
) -> None:
    lacking = []
    for key in sorted({key for files in by_stars.values() for key in files}):
        absent = [name for name, files in by_stars.items() if key not in files]
        if set(absent) - set(optional) or (absent and set(optional) <= set(absent)):
            lacking.append(f"{'/'.join(key)} lacks {' and '.join(absent)}")
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise DataError(
            f"{option}: {len(lacking)} samples have not every channel: "
            f"{'; '.join(lacking[:5])}{more}. Add the files, narrow the patterns, or list the files"
        )
