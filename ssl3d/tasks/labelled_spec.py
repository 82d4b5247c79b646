"""What is labelled, and for which task: a part of a fine-tuning spec. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field

from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.spec_types import Patch
from ssl3d.kinds.component_fields import TaskField
from ssl3d.plugin import spec_file
from ssl3d.plugin.typed_spec import TypedSpec
from ssl3d.tasks.finetune.spec import FinetuneSpec


class LabelledSpec(TypedSpec):
    """`task`, `data` and `patch` of a fine-tuning spec; its other parts are not looked at."""

    task: TaskField | None = Field(default=None, description="what the labels are")
    data: LabelledData = Field(description="labelled volumes")
    patch: Patch | None = Field(default=None, description="size of crops; none: the encoder's")

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read JSON; raises SpecError."""
        return cls(**_own(spec_file.from_json(text)))

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """Read YAML; raises SpecError."""
        return cls(**_own(spec_file.from_yaml(text)))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of these parts, or a whole fine-tuning spec.

        Raises:
            SpecError: the file is absent, not readable as such, or does not fit together.
        """
        if Path(path).suffix == ".py":
            whole = FinetuneSpec.load(path)
            return cls(task=whole.task, data=whole.data, patch=whole.patch)
        return super().load(path)


def _own(values: dict[str, Any]) -> dict[str, Any]:
    """Without the parts of a fine-tuning spec that are of no concern here."""
    others = set(FinetuneSpec.model_fields) - set(LabelledSpec.model_fields)
    return {name: value for name, value in values.items() if name not in others}
