"""The JSON schema covers every option of every installed component."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ssl3d import ExperimentSpec
from ssl3d.plugin.catalogue import components

FIELDS: dict[str, str] = {
    "backbone": "backbone",
    "sparse_backend": "sparse_backend",
    "masker": "masker",
    "decoder": "decoder",
    "loss": "losses",
}


def members(schema: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """The schemas that a component of this field may have."""
    found = schema["properties"][field]
    found = found["items"] if field == "losses" else found
    return [
        schema["$defs"][one["$ref"].rsplit("/", 1)[-1]] if "$ref" in one else one
        for one in found["anyOf"]
    ]


@pytest.mark.parametrize("kind", FIELDS)
def test_every_option_is_in_the_schema(kind: str) -> None:
    schema = ExperimentSpec.model_json_schema()
    json.dumps(schema)
    names, *configs = members(schema, FIELDS[kind])
    installed = components(kind)
    assert installed
    assert names == {"enum": [c.name for c in installed], "type": "string"}
    by_name = {config["properties"]["name"]["const"]: config for config in configs}
    for component in installed:
        options = by_name[component.name]["properties"]
        own = [option for option in component.options if "." not in option.name]
        assert options.keys() - {"name"} == {option.name for option in own}
        for option in own:
            assert options[option.name].get("description") == option.description
    assert by_name.keys() == {component.name for component in installed}


def test_every_option_of_the_spec_is_described() -> None:
    schema = ExperimentSpec.model_json_schema()
    for model in [schema, *schema["$defs"].values()]:
        for name, option in model.get("properties", {}).items():
            described = option.get("description") or name == "name"
            assert described, f"{model['title']}.{name} has no description"
