"""Specs as files: JSON, YAML and Python, and values set by path."""

from __future__ import annotations

import copy
import json
import re
import runpy
import traceback
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import yaml

from ssl3d.plugin.registry import did_you_mean
from ssl3d.plugin.spec_error import SpecError


class Readable(Protocol):
    """A spec that can be read from text."""

    @classmethod
    def from_json(cls, text: str) -> Self: ...
    @classmethod
    def from_yaml(cls, text: str) -> Self: ...


S = TypeVar("S", bound=Readable)


class _Loader(yaml.SafeLoader):
    """Reads 1e-4 as a number, as YAML 1.2 does; PyYAML alone gives a string."""


class _Dumper(yaml.SafeDumper):
    """Quotes text that `_Loader` would read as a number."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9_]+)[eE][-+]?[0-9]+$"),
        list("-+0123456789."),
    )


def parse_yaml(text: str) -> Any:
    """A YAML value; raises SpecError."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise SpecError([("spec", f"not readable as YAML: {error}")]) from None


def from_yaml(text: str) -> dict[str, Any]:
    """A YAML mapping; raises SpecError."""
    return _mapping(parse_yaml(text))


def from_json(text: str) -> dict[str, Any]:
    """A JSON object; raises SpecError."""
    try:
        return _mapping(json.loads(text))
    except json.JSONDecodeError as error:
        raise SpecError([("spec", f"not readable as JSON: {error}")]) from None


def to_yaml(values: dict[str, Any]) -> str:
    """A YAML mapping in the given order."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SpecError([("spec", f"must be a mapping of options, got {type(value).__name__}")])
    unnamed = [key for key in value if not isinstance(key, str)]
    if unnamed:
        raise SpecError([("spec", f"{unnamed[0]!r} is no name of an option: names are text")])
    return value


def load(spec: type[S], path: Path) -> S:
    """Read a spec from a file by its ending; raises SpecError."""
    readers = {".json": spec.from_json, ".yaml": spec.from_yaml, ".yml": spec.from_yaml}
    if not path.is_file():
        raise SpecError([(str(path), "no such file: give a .py, .yaml or .json file")])
    if path.suffix == ".py":
        found = _run(path).get("spec")
        if not isinstance(found, spec):
            raise SpecError([(str(path), f"must define `spec`, an ssl3d.{spec.__name__}")])
        return found
    if path.suffix not in readers:
        allowed = ", ".join([".py", *readers])
        raise SpecError([(str(path), f"ends with {path.suffix!r}; must end with {allowed}")])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([(str(path), f"cannot be read as text: {error}")]) from None
    return readers[path.suffix](text)


def _run(path: Path) -> dict[str, Any]:
    """The names that a Python file defines; whatever it raises becomes a SpecError."""
    try:
        return runpy.run_path(str(path))
    except SpecError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        place = f"{path}:{lines[-1]}" if lines else str(path)
        raise SpecError([(place, f"{type(error).__name__}: {error}")]) from error


def set_values(spec: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Set values by dotted path in a plain spec; list items by number.

    Short paths come first: a component is replaced before its options are set.

    Raises:
        SpecError: a path leads through something that has no parts.
    """
    result = copy.deepcopy(spec)
    for path, value in sorted(values.items(), key=lambda item: item[0].count(".")):
        *parents, last = path.split(".")
        at: Any = result
        for depth, part in enumerate(parents):
            at = _step(at, part, path=path, walked=".".join(parents[:depth]))
        _assign(at, last, value, path=path)
    return result


def _step(at: Any, part: str, *, path: str, walked: str) -> Any:
    here = f"{walked}.{part}" if walked else part
    if isinstance(at, dict) and part in at:
        key: Any = part
    elif isinstance(at, list) and part.isdigit() and int(part) < len(at):
        key = int(part)
    elif isinstance(at, dict):
        hint = f"{did_you_mean(part, at)} Allowed: {', '.join(at)}"
        raise SpecError([(here, f"unknown option.{hint}")])
    else:
        raise SpecError([(path, f"{part!r} is no item of a list of {len(at)}")])
    if isinstance(at[key], str):
        at[key] = {"name": at[key]}  # a component given by its name
    if not isinstance(at[key], dict | list):
        raise SpecError([(path, f"{here} has no parts to set")])
    return at[key]


def _assign(at: Any, part: str, value: Any, *, path: str) -> None:
    if isinstance(at, dict):
        at[part] = value
    elif isinstance(at, list) and part.isdigit() and int(part) < len(at):
        at[int(part)] = value
    else:
        raise SpecError([(path, f"{part!r} is no item of a list of {len(at)}")])
