"""The options of a config in words: type, bounds, unit, default. Read from its JSON schema."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from ssl3d.plugin.config import ComponentConfig

_TYPES = {
    "number": "float",
    "integer": "int",
    "boolean": "bool",
    "string": "str",
    "null": "none",
    "object": "mapping",
}


@dataclass(frozen=True)
class Option:
    """One option of a config.

    Attributes:
        name: as specs write it.
        type: such as `float`, `"single" | "nested"` or `(int, int, int)`.
        unit: of a number, such as `voxels`; empty where there is none.
        bounds: such as `0 < x < 1`, for each number of a list; empty where all are allowed.
        required: True when there is no default.
        default: as plain JSON values.
        description: what it does.
    """

    name: str
    type: str
    unit: str
    bounds: str
    required: bool
    default: Any
    description: str

    @property
    def shown_default(self) -> str:
        """The default as JSON."""
        return json.dumps(self.default, ensure_ascii=False)


def parts_of(model: type[BaseModel], *, path: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """A model and the models inside it, each with the path where it stands.

    Fields that hold a component are left out: what stands there depends on its name.
    """
    yield path, model
    for name, field in model.model_fields.items():
        for inside in models_in(field.annotation):
            if not issubclass(inside, ComponentConfig):
                yield from parts_of(inside, path=f"{path}.{name}" if path else name)


def all_options_of(config: type[BaseModel]) -> tuple[Option, ...]:
    """The options of `config` and of the models inside it, these with their path.

    Where one of several models may stand, the description says which it is about.
    """
    parts = list(parts_of(config))
    paths = [path for path, _ in parts]
    found = []
    for path, model in parts:
        about = f"{tag_of(model)}: " if paths.count(path) > 1 else ""
        for option in options_of(model):
            name = f"{path}.{option.name}" if path else option.name
            found.append(replace(option, name=name, description=about + option.description))
    return tuple(found)


def tag_of(model: type[BaseModel]) -> Any:
    """What a model's `name` says where it is one of several, else None."""
    name = model.model_fields.get("name")
    return name.default if name else None


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models that a field with this annotation may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, tuple):
        return [model for arg in typing.get_args(annotation) for model in models_in(arg)]
    return []


def options_of(config: type[BaseModel]) -> tuple[Option, ...]:
    """The options of `config` in the order of their declaration, without its `name`.

    A field gives its unit as `json_schema_extra={"unit": "voxels"}`.
    """
    schema = config.model_json_schema()
    parts = schema.get("$defs", {})
    properties = schema.get("properties", {})
    return tuple(
        Option(
            name=name,
            type=_type(properties[name], parts),
            unit=str(properties[name].get("unit", "")),
            bounds="; ".join(dict.fromkeys(_bounds(properties[name], parts))),
            required=field.is_required(),
            default=None
            if field.is_required()
            else to_jsonable_python(field.get_default(call_default_factory=True)),
            description=field.description or "",
        )
        for name, field in config.model_fields.items()
        if name != "name" or "const" not in properties[name]
    )


def _choices(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return list(schema.get("anyOf") or schema.get("oneOf") or [])


def _resolve(schema: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return parts[reference.rsplit("/", 1)[-1]] if reference else schema


def _items(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """One schema for each item of an array of fixed length, else none."""
    if "prefixItems" in schema:
        return list(schema["prefixItems"])
    length = schema.get("minItems")
    if length and length == schema.get("maxItems"):
        return [schema.get("items", {})] * length
    return []


def _type(schema: dict[str, Any], parts: dict[str, Any]) -> str:
    if "$ref" in schema:
        found = _resolve(schema, parts)
        return str(found.get("title", "mapping")) if "properties" in found else _type(found, parts)
    if _choices(schema):
        return " | ".join(dict.fromkeys(_type(choice, parts) for choice in _choices(schema)))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if schema.get("type") == "array":
        fixed = _items(schema)
        if fixed:
            return f"({', '.join(_type(item, parts) for item in fixed)})"
        item = _type(schema.get("items", {}), parts)
        return f"list of ({item})" if " | " in item else f"list of {item}"
    return _TYPES.get(schema.get("type", ""), "any")


def _bounds(schema: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    """Every bound inside a type, with `x` for a number; a union may hold several."""
    if "$ref" in schema:
        found = _resolve(schema, parts)
        return [] if "properties" in found else _bounds(found, parts)
    if _choices(schema):
        return [bound for choice in _choices(schema) for bound in _bounds(choice, parts)]
    if schema.get("type") == "array":
        items = _items(schema) or [schema.get("items", {})]
        length = [] if _items(schema) else _length(schema)
        return length + [bound for item in items for bound in _bounds(item, parts)]
    return _range(schema)


def _length(schema: dict[str, Any]) -> list[str]:
    low, high = schema.get("minItems"), schema.get("maxItems")
    if low is None and high is None:
        return []
    left = f"{low} ≤ " if low is not None else ""
    right = f" ≤ {high}" if high is not None else ""
    return [f"{left}length{right}"]


def _range(schema: dict[str, Any]) -> list[str]:
    """`0 < x ≤ 1`; with one side only `x > 0`, which reads better than `0 < x`."""
    low, high = _first(schema, _LOWER), _first(schema, _UPPER)
    if low and high:
        return [f"{low[0]} {low[1]} x {high[1]} {high[0]}"]
    if low:
        return [f"x {_TURNED[low[1]]} {low[0]}"]
    return [f"x {high[1]} {high[0]}"] if high else []


def _first(schema: dict[str, Any], signs: dict[str, str]) -> tuple[str, str] | None:
    """The bound that a schema has, as text, and its sign."""
    return next(
        (
            (f"{schema[key]:g}" if isinstance(schema[key], float) else str(schema[key]), sign)
            for key, sign in signs.items()
            if key in schema
        ),
        None,
    )


_LOWER = {"minimum": "≤", "exclusiveMinimum": "<"}
_UPPER = {"maximum": "≤", "exclusiveMaximum": "<"}
_TURNED = {"≤": "≥", "<": ">"}
