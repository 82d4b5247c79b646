"""Types and bounds in a JSON schema, in words."""

from __future__ import annotations

import json
from typing import Any

_TYPES = {
    "number": "float",
    "integer": "int",
    "boolean": "bool",
    "string": "str",
    "null": "none",
    "object": "mapping",
}
_LOWER = {"minimum": "≤", "exclusiveMinimum": "<"}
_UPPER = {"maximum": "≤", "exclusiveMaximum": "<"}
_TURNED = {"≤": "≥", "<": ">"}


def type_text(schema: dict[str, Any], parts: dict[str, Any]) -> str:
    """A type as people write it, such as `(int, int, int)`; `parts` are the schema's `$defs`."""
    if "$ref" in schema:
        found = _resolve(schema, parts)
        return (
            str(found.get("title", "mapping")) if "properties" in found else type_text(found, parts)
        )
    if _choices(schema):
        return " | ".join(dict.fromkeys(type_text(choice, parts) for choice in _choices(schema)))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if schema.get("type") == "array":
        fixed = _items(schema)
        if fixed:
            return f"({', '.join(type_text(item, parts) for item in fixed)})"
        item = type_text(schema.get("items", {}), parts)
        return f"list of ({item})" if " | " in item else f"list of {item}"
    return _TYPES.get(schema.get("type", ""), "any")


def bounds_text(schema: dict[str, Any], parts: dict[str, Any]) -> str:
    """Every bound inside a type, such as `0 < x ≤ 1`, once; empty where all is allowed."""
    return "; ".join(dict.fromkeys(_bounds(schema, parts)))


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
