"""Options of the task `grade`. No torch here: specs are validated with it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ssl3d.kinds.task_config import TaskConfig


class Grade(TaskConfig):
    """A grade of a case from 0 up, learned as "at least 1", "at least 2", and so on."""

    builds = "grade_task.task:GradeTask"
    per: ClassVar[Literal["voxel", "case"]] = "case"
    primary: ClassVar[str] = "mae"
    larger_is_better: ClassVar[bool] = False
    name: Literal["grade"] = "grade"
    column: str = Field(default="grade", min_length=1, description="that holds the grade of a case")
    highest: int = Field(ge=1, le=100, description="grade; the lowest is 0")

    def outputs(self) -> tuple[str, ...]:
        """One for each grade above 0."""
        return tuple(f"at least {grade}" for grade in range(1, self.highest + 1))

    def columns(self) -> tuple[str, ...]:
        """That of the grade."""
        return (self.column,)
