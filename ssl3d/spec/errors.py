"""Turn what pydantic found into lines that say where, what was given and what is allowed."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from ssl3d.registry import did_you_mean


class SpecError(ValueError):
    """A spec that cannot run. One line for each problem: the path of the option, and what to do.

    Attributes:
        problems: (path, message) pairs.
    """

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{path}: {message}" for path, message in self.problems))


def explain(error: ValidationError, *, model: type[BaseModel]) -> list[tuple[str, str]]:
    """(path, message) of each problem that pydantic found while it validated `model`."""
    problems: list[tuple[str, str]] = []
    for found in error.errors():
        nested = found.get("ctx", {}).get("problems")
        if nested is not None:
            path = _path(found["loc"])
            problems += [(f"{path}.{p}" if p else path, message) for p, message in nested]
        else:
            problems.append((_path(found["loc"]) or "spec", _message(found, model=model)))
    return list(dict.fromkeys(problems))


def _path(loc: Iterable[str | int]) -> str:
    return ".".join(str(part) for part in loc)


def _message(found: Any, *, model: type[BaseModel]) -> str:
    kind, given = found["type"], found["input"]
    if kind == "extra_forbidden":
        allowed = sorted(_fields_at(model, found["loc"][:-1]))
        name = str(found["loc"][-1])
        return f"unknown option.{did_you_mean(name, allowed)} Allowed: {', '.join(allowed)}"
    if kind == "missing":
        return "missing: give a value"
    message = found["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "value_error":
        return str(message)
    return f"given {_short(given)}; must be {message}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fields_at(model: type[BaseModel], loc: Iterable[str | int]) -> set[str]:
    """Field names of the model that stands at `loc` inside `model`."""
    models = [model]
    for part in loc:
        fields = [m.model_fields[str(part)] for m in models if str(part) in m.model_fields]
        if fields:
            models = [m for field in fields for m in _models_in(field.annotation)]
            continue
        # pydantic puts the tag of a union into the path: keep the model with that name
        tagged = [m for m in models if _tag(m) == part]
        models = tagged or models
    return {name for m in models for name in m.model_fields}


def _tag(model: type[BaseModel]) -> Any:
    name = model.model_fields.get("name")
    return name.default if name else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, tuple):
        return [m for arg in typing.get_args(annotation) for m in _models_in(arg)]
    return []
