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
from ssl3d.plugin.schema_text import bounds_text, type_text


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
            type=type_text(properties[name], parts),
            unit=str(properties[name].get("unit", "")),
            bounds=bounds_text(properties[name], parts),
            required=field.is_required(),
            default=None
            if field.is_required()
            else to_jsonable_python(field.get_default(call_default_factory=True)),
            description=field.description or "",
        )
        for name, field in config.model_fields.items()
        if name != "name" or "const" not in properties[name]
    )
