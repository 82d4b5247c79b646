"""Options of the task `classification`."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from ssl3d.data.table import NOTHING, plain_text
from ssl3d_plugins.tasks.pooled_config import Names, PooledConfig, refuse_twice

Weight = Annotated[float, Field(strict=True, ge=0, le=1e6)]


def _in_a_cell(name: str) -> str:
    """A class as tables hold it."""
    if plain_text(name).lower() in NOTHING:
        raise ValueError(
            f"{name!r} is what tables write where they have nothing ({', '.join(NOTHING[1:])}): "
            "call the class something else, in the table too"
        )
    return plain_text(name)


Classes = tuple[Annotated[str, AfterValidator(_in_a_cell)], ...]


class Classification(PooledConfig):
    """Labels of a case: one of several classes, or any of several labels, a column each.

    Give `classes` and their column, or `labels`, whose names are the columns' and whose values are
    0 or 1. A label that a case lacks (an empty field) teaches nothing and is measured nowhere.
    """

    builds = "ssl3d_plugins.tasks.classification_task:ClassificationTask"
    targets: ClassVar[Literal["class", "number"]] = "class"
    primary: ClassVar[str] = "auroc"
    name: Literal["classification"] = "classification"
    classes: Classes | None = Field(
        default=None,
        description="names of the classes, of which a case has exactly one: its column holds the "
        "name, or 0, 1, ... in this order",
    )
    column: str = Field(default="label", min_length=1, description="that holds the class of a case")
    labels: Names | None = Field(
        default=None, min_length=1, description="columns, each 0 or 1; a case may have any of them"
    )
    balance: bool = Field(
        default=True,
        description="classes weigh by the inverse of their share among the training cases, and in "
        "each label what is present weighs as much as what is not",
    )
    column_weights: dict[str, Weight] = Field(
        default={},
        description="weight of a label in the loss and in means over labels, such as "
        "{Aneurysm Present: 13}; 1 where not given",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Classification:
        if (self.classes is None) == (self.labels is None):
            raise ValueError("give either classes or labels, and not both")
        if self.classes is not None:
            refuse_twice(self.classes, option="classes")
            if len(self.classes) < 2:
                raise ValueError("classes: one class only leaves nothing to tell apart")
        refuse_twice(self.labels or (), option="labels")
        unknown = sorted(set(self.column_weights) - set(self.labels or ()))
        if unknown:
            raise ValueError(f"column_weights: {', '.join(unknown)} is none of the labels")
        if self.labels is not None and not math.fsum(self.output_weights().values()):
            raise ValueError("column_weights: all are 0, and nothing would be learned")
        return self

    def outputs(self) -> tuple[str, ...]:
        """The classes, or the labels."""
        return self.classes if self.classes is not None else self.labels or ()

    def columns(self) -> tuple[str, ...]:
        """That of the class, or one for each label."""
        return (self.column,) if self.labels is None else self.labels

    def column_classes(self) -> tuple[str, ...]:
        """The classes; of labels 0 and 1."""
        return self.classes or ("0", "1")

    def output_weights(self) -> dict[str, float]:
        """Weight of each label; 1 of each class."""
        return {name: self.column_weights.get(name, 1.0) for name in self.outputs()}
