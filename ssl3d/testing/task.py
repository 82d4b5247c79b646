"""The contract of a downstream task as tests, for ours and for anyone's.

class TestMine(TaskConformance):
    config = MyTask(columns=("age",))
"""

from __future__ import annotations

from typing import ClassVar

from ssl3d.geometry import Stage
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.testing.kit import Kit
from ssl3d.testing.task_checks import CHECKS, TaskUnderTest


class TaskConformance(Kit, checks=CHECKS):
    """Subclass it in a test module and set `config`; `stages` and `targets` where others fit."""

    under_test = TaskUnderTest
    config: ClassVar[TaskConfig]
    stages: ClassVar[tuple[Stage, ...]]
    targets: ClassVar[tuple[tuple[float, ...], ...]]
