"""Specs as files: JSON, YAML and Python, and values set by path."""

from __future__ import annotations

import codecs
import copy
import json
import runpy
import traceback
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from pydantic import ValidationError

from ssl3d.plugin import core_yaml
from ssl3d.plugin.registry import did_you_mean
from ssl3d.plugin.section import Section
from ssl3d.plugin.shown import cut, shown
from ssl3d.plugin.spec_error import SpecError


class Readable(Protocol):
    """A spec that can be read from text."""

    @classmethod
    def from_json(cls, text: str) -> Self: ...
    @classmethod
    def from_yaml(cls, text: str) -> Self: ...


S = TypeVar("S", bound=Readable)


def parse_yaml(text: str, *, path: str = "spec") -> Any:
    """A YAML value; raises SpecError that names `path`."""
    try:
        return core_yaml.read(text)
    except ValueError as error:
        raise SpecError([(path, f"not readable as YAML: {error}")]) from None


def from_yaml(text: str) -> dict[str, Any]:
    """A YAML mapping; raises SpecError."""
    return _mapping(parse_yaml(text))


def from_json(text: str) -> dict[str, Any]:
    """A JSON object; raises SpecError."""
    try:
        return _mapping(json.loads(text, object_pairs_hook=_once, parse_int=core_yaml.whole))
    except RecursionError:
        raise SpecError([("spec", "not readable as JSON: nested too deep")]) from None
    except ValueError as error:
        raise SpecError([("spec", f"not readable as JSON: {error}")]) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these keys and values; raises ValueError where a key comes twice."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{shown(key)} is given twice")
        found[key] = value
    return found


def to_yaml(values: dict[str, Any]) -> str:
    """A YAML mapping in the given order."""
    return core_yaml.write(values)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SpecError([("spec", f"must be a mapping of options, got {type(value).__name__}")])
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
        text = _decode(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([(str(path), f"cannot be read as text: {error}")]) from None
    return readers[path.suffix](text)


def _decode(raw: bytes) -> str:
    """UTF-8, or UTF-16 where the file begins with its mark, as Windows PowerShell writes it."""
    marked = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return raw.decode("utf-16" if marked else "utf-8-sig")


def _run(path: Path) -> dict[str, Any]:
    """The names that a Python file defines; whatever it raises becomes a SpecError."""
    try:
        return runpy.run_path(str(path))
    except SpecError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        place = f"{path}:{lines[-1]}" if lines else str(path)
        raise SpecError([(place, f"{type(error).__name__}: {_said(error)}")]) from error


def _said(error: BaseException) -> str:
    """What an error says, in one line also where pydantic says it in many."""
    if isinstance(error, ValidationError):
        found = (
            f"{error.title}.{'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_input=False, include_url=False)
        )
        return "; ".join(found)
    return str(error)


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


def take_back_settled(plain: dict[str, Any], *, spec: Section, path: str) -> None:
    """Remove the options that the one at `path` settles, since it gets another value.

    Args:
        plain: the spec in plain values.
        spec: the same, typed.
        path: of any option; most settle none, and nothing happens.
    """
    *parents, option = path.split(".")
    section: Any = spec
    at: Any = plain
    for part in parents:
        inside = _inside(section)
        if part not in inside:
            return
        section, at = inside[part], at[int(part) if isinstance(at, list) else part]
    for other in section.settles(option) if isinstance(section, Section) else ():
        at.pop(other, None)


def _inside(value: Any) -> dict[str, Any]:
    """The parts of a section or of a list by the names that paths have for them."""
    if isinstance(value, Section):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return {str(i): one for i, one in enumerate(value)} if isinstance(value, tuple) else {}


def _step(at: Any, part: str, *, path: str, walked: str) -> Any:
    here = f"{walked}.{part}" if walked else part
    if isinstance(at, dict) and part in at:
        key: Any = part
    elif isinstance(at, list):
        key = _item(at, part, path=path)
    else:
        hint = f"{did_you_mean(cut(part), at)} Allowed: {', '.join(at)}"
        raise SpecError([(here, f"unknown option.{hint}")])
    if isinstance(at[key], str):
        at[key] = {"name": at[key]}  # a component given by its name
    if not isinstance(at[key], dict | list):
        empty = f"{here} is empty: set it too, {here}=NAME or all of its options"
        raise SpecError([(path, empty if at[key] is None else f"{here} has no parts to set")])
    return at[key]


def _assign(at: Any, part: str, value: Any, *, path: str) -> None:
    at[_item(at, part, path=path) if isinstance(at, list) else part] = value


def _item(at: list[Any], part: str, *, path: str) -> int:
    """The index that a part of a path names."""
    indices = {str(i): i for i in range(len(at))}
    if part not in indices:
        raise SpecError([(path, f"{shown(part)} is no item of a list of {len(at)}")])
    return indices[part]
