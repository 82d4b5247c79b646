"""How often each volume is seen: the options. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

Rule = Literal["file", "group", "modality", "size", "weight"]
Part = Annotated[float, Field(gt=0)]


BY_FILE: Any = "file"
"""The default, as a spec writes it."""


def _alone(value: Any) -> Any:
    """One rule stands for a mixture of one."""
    return {value: 1.0} if isinstance(value, str) else value


Sampling = Annotated[
    dict[Rule, Part],
    Field(min_length=1),
    BeforeValidator(_alone, json_schema_input_type=Rule | dict[Rule, Part]),
]
"""Each rule's part of the crops; only their ratios count."""
