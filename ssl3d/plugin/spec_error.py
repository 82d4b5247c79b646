"""Turn what pydantic found into lines that say where, what was given and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ssl3d.plugin.option import models_in, tag_of
from ssl3d.plugin.registry import did_you_mean
from ssl3d.plugin.shown import cut, one_line, shown

MOST_LINES = 50
LONGEST_PATH = 200


class SpecError(ValueError):
    """A spec that cannot run. One line for each problem: the path of the option, and what to do.

    Attributes:
        problems: (path, message) pairs.
    """

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(
            (one_line(path or "spec", most=LONGEST_PATH), one_line(message))
            for path, message in problems
        )
        lines = [f"{path}: {message}" for path, message in self.problems]
        more = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
        super().__init__("\n".join(lines[:MOST_LINES] + more))


def explain(
    error: ValidationError, *, model: type[BaseModel], given: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """(path, message) of each problem that pydantic found while it validated `given` as `model`.

    A value that fits no member of a union gives one problem, not one for each member.
    """
    found: dict[str, list[str]] = {}
    in_union: set[str] = set()
    for one in error.errors():
        path = _path(one, given=given)
        nested = one.get("ctx", {}).get("problems")
        if nested is not None:
            for inner, message in nested:
                found.setdefault(f"{path}.{inner}" if path and inner else path or inner, []).append(
                    message
                )
            continue
        if len(path.split(".")) < len(one["loc"]):
            in_union.add(path)
        found.setdefault(path, []).append(_message(one, model=model))
    return [
        (path, message)
        for path, messages in found.items()
        # A problem deeper inside says more than "this is no list either".
        if not (path in in_union and any(other.startswith(f"{path}.") for other in found))
        for message in _merged(messages)
    ]


def _path(found: Any, *, given: Any) -> str:
    """The path that a person would write: pydantic's, without the tags of unions."""
    *parents, last = found["loc"] or ("",)
    at: Any = given
    parts: list[str] = []
    for part in parents:
        if _holds(at, part):
            at = at[part]
            parts.append(str(part))
    if found["type"] == "missing" or _holds(at, last):
        parts.append(str(last))
    return ".".join(parts)


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)


def _merged(messages: list[str]) -> list[str]:
    """`given 3; must be a` and `given 3; must be b` as one; other messages as they are."""
    messages = list(dict.fromkeys(messages))
    starts = {message.partition("; must be ")[0] for message in messages}
    if len(starts) > 1 or not all("; must be " in message for message in messages):
        return messages
    allowed, hints = [], ""
    for message in messages:
        one, mark, hint = message.partition("; must be ")[2].partition(". Did you mean")
        allowed.append(one)
        hints = f"{mark}{hint}" or hints
    return [f"{starts.pop()}; must be {' or '.join(dict.fromkeys(allowed))}{hints}"]


def _message(found: Any, *, model: type[BaseModel]) -> str:
    kind, given, loc = found["type"], found["input"], found["loc"]
    if kind == "extra_forbidden":
        names = sorted(_fields_at(model, loc[:-1]))
        hint = did_you_mean(cut(str(loc[-1])), names)
        return f"unknown option.{hint} Allowed: {', '.join(names)}"
    if kind == "missing":
        return "missing: the list is too short" if isinstance(loc[-1], int) else "missing"
    if kind == "value_error":
        return str(found["msg"]).removeprefix("Value error, ")
    if kind == "union_tag_invalid":
        named = isinstance(given, Mapping) and "name" in given
        allowed = f"one of {found['ctx']['expected_tags']}"
        return _choice(given["name"] if named else given, allowed=allowed)
    if kind == "literal_error":
        return _choice(given, allowed=found["ctx"]["expected"])
    if kind in ("bool_parsing", "bool_type"):
        return f"given {shown(given)}; must be true or false"
    text = str(found["msg"])
    if not text.startswith("Input should be "):
        return f"given {shown(given)}; {text[:1].lower()}{text[1:]}"
    text = text.removeprefix("Input should be ").partition(", unable to parse")[0]
    return f"given {shown(given)}; must be {text.replace('a valid tuple', 'a list')}"


def _choice(given: Any, *, allowed: str) -> str:
    """`allowed` is pydantic's list of quoted values."""
    names = re.findall(r"'([^']*)'", allowed)
    hint = did_you_mean(cut(given), names) if isinstance(given, str) else ""
    return f"given {shown(given)}; must be {allowed}{f'.{hint}' if hint else ''}"


def _fields_at(model: type[BaseModel], loc: Iterable[str | int]) -> set[str]:
    """Field names of the model that stands at `loc` inside `model`."""
    models = [model]
    for part in loc:
        fields = [m.model_fields[str(part)] for m in models if str(part) in m.model_fields]
        if fields:
            models = [m for field in fields for m in models_in(field.annotation)]
            continue
        # pydantic puts the tag of a union into the path: keep the model with that name
        tagged = [m for m in models if tag_of(m) == part]
        models = tagged or models
    return {name for m in models for name in m.model_fields}
