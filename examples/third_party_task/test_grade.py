"""The contract of a task, and what is particular to this one."""

from __future__ import annotations

import torch
from grade_task import Grade

from ssl3d.geometry import Stage
from ssl3d.testing.task import TaskConformance


class TestGrade(TaskConformance):
    config = Grade(highest=4)


def test_grades_are_counted() -> None:
    task = Grade(highest=3).build(stages=(Stage((4, 4, 4), 8),))
    row = task.row(
        torch.tensor([0.9, 0.7, 0.2]), truth=torch.tensor([1.0]), spacing=(1.0, 1.0, 1.0)
    )
    assert row == {"error": 1.0, "grade": 2.0, "target": 1.0}
    assert task.summary([row, {**row, "error": 0.0}]) == {"mae": 0.5, "accuracy": 0.5}
