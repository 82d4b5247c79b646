"""`ssl3d inspect` from files to page."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ssl3d.data.data_error import DataError, DataWarning, shown
from ssl3d.data.files import find_sources
from ssl3d.data.modality import with_modalities
from ssl3d.data.nnunet_plans import Plans, read_configuration
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.files import write_json, write_text
from ssl3d.tasks.inspect.facts import Facts
from ssl3d.tasks.inspect.found import Found
from ssl3d.tasks.inspect.given import data_of
from ssl3d.tasks.inspect.kept import KeptFacts
from ssl3d.tasks.inspect.look import look_at
from ssl3d.tasks.inspect.look_all import MOST_WORKERS, cores, look_at_all
from ssl3d.tasks.inspect.page import page
from ssl3d.tasks.inspect.planned import suggest_planned
from ssl3d.tasks.inspect.suggest import suggest
from ssl3d.tasks.inspect.suggestion import Suggestion
from ssl3d.tasks.inspect.tables import print_found
from ssl3d.tasks.predict.progress import CaseProgress

FEW = 16
"""Files that are not worth the start of further processes."""


def inspect_data(
    arguments: Sequence[str],
    *,
    out: Path | None = None,
    json_file: Path | None = None,
    plans: Path | None = None,
    configuration: str = "3d_fullres",
    workers: int | None = None,
) -> Found:
    """Look at every file, print what is found and suggested, and write it.

    Args:
        arguments: files, folders and globs, or one spec or manifest.
        out: HTML page.
        json_file: the same as data.
        plans: of nnU-Net: suggest what they say.
        configuration: of the plans.
        workers: processes; None: one a core, at most 8, and for few files none but this one.

    Raises:
        DataError: nothing was found, or nothing can be used.
        SpecError, ValueError: the spec or the plans cannot be read.
    """
    planned = None if plans is None else read_configuration(plans, name=configuration)
    spec = data_of(arguments)
    kept = KeptFacts(f"{Path.cwd()} {spec.model_dump_json()}")
    found = look(spec, kept=kept, workers=workers)
    if len(found.bad) == len(found.files):
        problems = _first(f"{one.path}: {one.problem}" for one in found.bad)
        text = f"data: none of {len(found.files)} files can be used:"
        raise DataError("\n".join([text, *problems]))
    suggestion = _suggestion(found, planned=planned, given=spec)
    console = Console()
    print_found(found, console=console)
    if suggestion is None:
        console.print("Nothing here looks like an image, so nothing is suggested.")
    text = "" if suggestion is None else suggestion.yaml()
    for line in text.splitlines():
        console.print(Text(line), soft_wrap=True)
    title = ", ".join(map(shown, arguments))
    if out is not None:
        write_text(out, page(found, suggestion=text, title=title))
        console.print(Text(f"Page: {shown(out)}"), soft_wrap=True)
    if json_file is not None:
        write_json(json_file, {"format": 1, **found.as_json(), "suggestion": _plain(suggestion)})
        console.print(Text(f"Data: {shown(json_file)}"), soft_wrap=True)
    kept.remove()
    return found


def look(spec: DataSpec, *, kept: KeptFacts, workers: int | None = None) -> Found:
    """Find the files of a spec and look at each, but for those whose facts are kept."""
    sources, remarks = _search(spec)
    paths = list(dict.fromkeys(file for source in sources for file in source.files))
    facts: dict[Path, Facts] = {}
    for path in paths:
        before = kept.find(path)
        if before is not None:
            facts[path] = before
    console = Console(stderr=True)
    if facts:
        console.print(f"{len(facts)} of {len(paths)} files were looked at before.", markup=False)
    left = [path for path in paths if path not in facts]
    progress = CaseProgress(console, cases=len(left), what="file")
    count = workers if workers is not None else _workers(len(left))
    judge = partial(look_at, max_non_finite=spec.max_non_finite)
    each = look_at_all(left, workers=count, look=judge)
    try:
        with progress.shown():
            for path, one in each:
                facts[path] = one
                kept.add(path, one)
                progress.case(one.path)
    finally:
        if len(facts) < len(paths):
            console.print(
                f"{len(facts)} of {len(paths)} files were looked at: the same command goes on from "
                "there.",
                markup=False,
            )
    names = {facts[path].path: path for path in paths}
    said = {file: source.modality for source in sources for file in source.files}
    files = (replace(facts[path], modality=said[path] or facts[path].modality) for path in paths)
    return Found(tuple(files), tuple(remarks), names)


def _search(spec: DataSpec) -> tuple[list[Source], list[tuple[str, str]]]:
    """What is found, and (file, remark) of what is not."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        try:
            here = Path.cwd()
            sources, error = with_modalities(find_sources(spec), spec=spec, folder=here), None
        except DataError as nothing:
            sources, error = [], nothing
    remarks = [remark for one in caught for remark in _remarks(one.message)]
    if error is not None:
        raise DataError("\n".join([str(error), *_first(f"{f}: {r}" for f, r in remarks)]))
    return sources, remarks


def _first(lines: Iterable[str], *, most: int = 10) -> list[str]:
    """Lines to go below an error."""
    every = list(lines)
    more = [f"  and {len(every) - most} more"] if len(every) > most else []
    return [f"  {line}" for line in every[:most]] + more


def _remarks(message: Warning | str) -> list[tuple[str, str]]:
    if isinstance(message, DataWarning) and message.files:
        return [(file, message.remark) for file in message.files]
    return [("", str(message))]


def _workers(files: int) -> int:
    return 0 if files < FEW or cores() == 1 else min(cores(), MOST_WORKERS)


def _suggestion(found: Found, *, planned: Plans | None, given: DataSpec) -> Suggestion | None:
    if not found.images:
        return None
    if planned is not None:
        return suggest_planned(found, plans=planned, given=given)
    return suggest(found, given=given)


def _plain(suggestion: Suggestion | None) -> dict[str, Any] | None:
    """A suggestion as data."""
    if suggestion is None:
        return None
    plain: dict[str, Any] = {
        "data": suggestion.section,
        "cell": suggestion.cell,
        "backbones": suggestion.backbones,
        "reasons": {one.option: one.reason for one in suggestion.data},
        "remarks": suggestion.remarks,
        "yaml": suggestion.yaml(),
    }
    return json.loads(json.dumps(plain))  # type: ignore[no-any-return]  # tuples become lists
