"""Options of the task `segmentation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ssl3d.kinds.task_config import TaskConfig

BACKGROUND = "background"
Value = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]


class Segmentation(TaskConfig):
    """A label for each voxel: Dice and cross-entropy, Dice and HD95 to measure.

    Background is 0. A label that a crop lacks counts in its cross-entropy and not in its Dice,
    which is 1 there whatever is predicted, nearly without a gradient; how many there were is
    logged. Padding and voxels with the ignored value teach nothing.
    """

    builds = "ssl3d_plugins.tasks.segmentation_task:SegmentationTask"
    per: ClassVar[Literal["voxel", "case"]] = "voxel"
    primary: ClassVar[str] = "dice"
    static: ClassVar[bool] = True
    name: Literal["segmentation"] = "segmentation"
    labels: dict[str, Value] = Field(
        min_length=1,
        description="name of each label and its value in the label files, from 1, such as "
        "{anterior: 1, posterior: 2}; 0 is background",
    )
    ignore: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)] | None = Field(
        default=None, description="value of voxels that nobody labelled: they teach nothing"
    )
    dice: float = Field(default=1.0, ge=0, description="weight of the Dice loss")
    cross_entropy: float = Field(default=1.0, ge=0, description="weight of the cross-entropy")

    @model_validator(mode="after")
    def _labels_differ(self) -> Segmentation:
        values = list(self.labels.values())
        twice = sorted(name for name, value in self.labels.items() if values.count(value) > 1)
        if twice:
            raise ValueError(f"labels {', '.join(twice)} have one value: give each its own")
        if BACKGROUND in self.labels:
            raise ValueError(f"labels: {BACKGROUND} is value 0 and always there: leave it out")
        if self.ignore is not None and self.ignore in (0, *values):
            raise ValueError(f"ignore is {self.ignore}, which is a label or background")
        if not self.dice + self.cross_entropy:
            raise ValueError("dice and cross_entropy are both 0: nothing would be learned")
        return self

    def outputs(self) -> tuple[str, ...]:
        """Background, then the labels in the order of the spec."""
        return (BACKGROUND, *self.labels)

    def ignored(self) -> int | None:
        """The ignored value."""
        return self.ignore

    def legend(self) -> Mapping[str, int]:
        """The labels."""
        return self.labels
