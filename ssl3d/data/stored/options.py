"""What of a spec a store depends on. Imports no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ssl3d.data.data_error import DataError, shown
from ssl3d.data.spec import DataSpec

OF_RUNS: dict[str, bool | set[str]] = {
    "store": True,
    "patch": True,
    "batch_size": True,
    "foreground": {"share"},
    "flips": True,
    "augment": True,
    "sampling": True,
    "holdout": True,
    "holdout_crops": True,
    "cache": True,
    "workers": True,
    "on_bad_file": True,
    "max_bad_share": True,
}
"""What runs from one store may have differently. All else is the store's."""

PATHS = (
    *("volumes", "channels", "manifest", "valid"),
    *("group_file", "visit_file", "modality_file"),
)
"""Options that are paths: they mean the same from everywhere only when they are whole."""


TABLES = ("manifest", "group_file", "visit_file", "modality_file")
"""Options that are files of which a store has the content. They need not be where it is read."""


def stored_options(spec: DataSpec, *, folder: Path) -> dict[str, Any]:
    """Which files a store has, in which groups, and how they are prepared, as plain values.

    Args:
        spec: of a run, or of a store.
        folder: where its relative paths start from.
    """
    options = spec.model_dump(mode="json", exclude={**OF_RUNS})
    options |= {name: _whole(options[name], folder) for name in PATHS}
    tables = {name: _digest(options[name]) for name in TABLES if options[name] is not None}
    return {**options, "tables": tables}


def check_options(spec: DataSpec, stored: dict[str, Any], *, folder: Path) -> None:
    """Compare the spec of a run with that of its store.

    Raises:
        DataError: they differ; says what each has.
    """
    options, before = stored_options(spec, folder=folder), dict(stored)
    now, then = options.pop("tables"), before.pop("tables", {})
    asked, theirs = _flat(options), _flat(before)
    lines = [
        f"  data.{name}: the store has {_words(theirs.get(name))}, "
        f"the spec {_words(asked.get(name))}"
        for name in {**theirs, **asked}
        if asked.get(name) != theirs.get(name)
    ]
    lines += [
        f"  data.{name}: the table has changed since the store was filled"
        for name in TABLES
        if now.get(name) and then.get(name) and now[name] != then[name]
    ]
    if lines:
        raise DataError(
            f"data.store: {shown(str(spec.store))!r} was filled by another spec:\n"
            + "\n".join(lines)
            + "\nGive the run what the store has, or fill the store by this spec (ssl3d prepare): "
            "volumes for which nothing changes are kept"
        )


def _whole(value: Any, folder: Path) -> Any:
    if isinstance(value, str):
        return str(folder / Path(value).expanduser())
    if isinstance(value, list):
        return [_whole(one, folder) for one in value]
    if isinstance(value, dict):
        return {name: _whole(one, folder) for name, one in value.items()}
    return value


def _digest(table: str) -> str | None:
    """Of its content; None where it is not there."""
    try:
        return hashlib.sha256(Path(table).read_bytes()).hexdigest()
    except OSError:
        return None


def _flat(options: dict[str, Any], start: str = "") -> dict[str, Any]:
    """Options by their dotted paths; channels in their order."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, dict) and name != "channels":
            flat |= _flat(value, f"{start}{name}.")
        else:
            flat[start + name] = list(value.items()) if isinstance(value, dict) else value
    # What was read from JSON has lists for pairs.
    return {name: _listed(value) for name, value in flat.items()}


def _listed(value: Any) -> Any:
    return [_listed(one) for one in value] if isinstance(value, list | tuple) else value


def _words(value: Any) -> str:
    return "none" if value is None else repr(value)
