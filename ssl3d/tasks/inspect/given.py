"""What shall be inspected, as the `data` part of a spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from ssl3d.data.spec import DataSpec
from ssl3d.plugin import spec_file
from ssl3d.plugin.typed_spec import TypedSpec
from ssl3d.tasks.pretrain.spec import ExperimentSpec

SPECS = (".yaml", ".yml", ".json", ".py")
TABLES = (".csv", ".tsv")


class InspectedSpec(TypedSpec):
    """`data` of a pre-training spec; its other parts are not looked at."""

    data: DataSpec = Field(description="volumes")

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read JSON; raises SpecError."""
        return cls(**_own(spec_file.from_json(text)))

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read YAML; raises SpecError."""
        return cls(**_own(spec_file.from_yaml(text)))


def data_of(arguments: Sequence[str]) -> DataSpec:
    """Files, folders and globs, or one spec, or one manifest.

    Raises:
        SpecError: the spec cannot be read.
        ValueError: a spec or a manifest among others.
    """
    specs = [one for one in arguments if one.lower().endswith(SPECS + TABLES)]
    if not specs:
        given = arguments[0] if len(arguments) == 1 else list(arguments)
        return InspectedSpec(data={"volumes": given}).data
    if len(arguments) > 1:
        raise ValueError(
            f"{specs[0]} is a spec or a manifest: give it alone, or files, folders and globs"
        )
    path = Path(specs[0])
    if path.suffix.lower() in TABLES or _is_list(path):
        return InspectedSpec(data={"manifest": specs[0]}).data
    if path.suffix == ".py":
        return ExperimentSpec.load(path).data
    return InspectedSpec.load(path).data


def _is_list(path: Path) -> bool:
    """True for JSON that begins as a manifest does, and no spec."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    return path.read_bytes().lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _own(values: dict[str, Any]) -> dict[str, Any]:
    """The part `data` of a whole spec, or a file of this part alone."""
    return {"data": values.get("data", values)}
