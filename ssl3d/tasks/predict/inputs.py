"""What is predicted: files, folders and globs, and what each result is called."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from glob import has_magic
from pathlib import Path

from ssl3d.data.data_error import DataError, DataWarning, shown
from ssl3d.data.files import find_sources, stem
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec


def find_inputs(given: Sequence[str], *, channels: Sequence[str], out: Path) -> list[Source]:
    """The samples, sorted by path; no file is opened.

    Args:
        given: files, folders and globs; for several channels `NAME=FILE` or `NAME=PATTERN` each, as
            `data.channels` of a spec.
        channels: of the models.
        out: what lies in it are results, and no inputs: said where there is any.

    Raises:
        DataError: nothing is found, or a channel is missing.
    """
    if len(channels) == 1:
        spec = DataSpec(volumes=tuple(given))
    else:
        spec = DataSpec(volumes=None, channels=_by_channel(given, channels))
    sources = [source.whole for source in find_sources(spec, option="inputs")]
    inside = out.absolute()
    kept = [one for one in sources if not any(f.is_relative_to(inside) for f in one.files)]
    if len(kept) < len(sources):
        warnings.warn(
            f"{len(sources) - len(kept)} of {len(sources)} inputs lie in {shown(out)}, which is "
            "for results, and are left out",
            DataWarning,
            stacklevel=2,
        )
    if not kept:
        raise DataError(f"all inputs lie in {out}, which is for results: give another folder")
    return kept


def named(sources: Sequence[Source], *, known: Mapping[str, Sequence[str]]) -> dict[str, Source]:
    """Names of the results: those of the files without ending, in UTF-8.

    Files of one name get their folders as well, from the deepest one that all inputs share.

    Args:
        sources: with whole paths.
        known: name to files of what was named before, which keeps its name.

    Raises:
        DataError: a name stands for other files already.
    """
    before = {tuple(files): name for name, files in known.items()}
    new = [source for source in sources if tuple(map(shown, source.files)) not in before]
    counts = Counter(shown(stem(source.files[0])) for source in new) + Counter(list(known))
    common = Path(os.path.commonpath([source.files[0].parent for source in sources]))
    found: dict[str, Source] = {}
    for source in sources:
        file = source.files[0]
        name = before.get(tuple(map(shown, source.files)), shown(stem(file)))
        if source in new and counts[name] > 1:
            name = shown(file.relative_to(common).with_name(name))
            if name in known or name in found:
                other = known[name][0] if name in known else found[name].name
                raise DataError(
                    f"the results of {other} and {file} would both be called {name}: predict them "
                    "into different folders"
                )
        found[name] = source
    return found


def _by_channel(given: Sequence[str], channels: Sequence[str]) -> dict[str, str | tuple[str, ...]]:
    """Files or a pattern of each channel, in the models' order."""
    names = ", ".join(channels)
    found: dict[str, list[str]] = {name: [] for name in channels}
    for one in given:
        name, equals, path = one.partition("=")
        if not equals or name not in found:
            raise DataError(
                f"input {one!r}: the models have {len(channels)} channels ({names}): give "
                f"{channels[0]}=FILE or {channels[0]}=PATTERN, and so for each"
            )
        found[name].append(path)
    lacking = [name for name, paths in found.items() if not paths]
    if lacking:
        raise DataError(f"inputs: there are none for {', '.join(lacking)} (of {names})")
    return {
        name: paths[0] if len(paths) == 1 and has_magic(paths[0]) else tuple(paths)
        for name, paths in found.items()
    }
