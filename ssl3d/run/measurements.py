"""What is measured of a run: which evaluations are due, and what they gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ssl3d.run.evaluating import evaluating
from ssl3d.run.ranks import of_all_ranks
from ssl3d.run.rows import Rows
from ssl3d.run.run_error import RunError
from ssl3d.run.setting import Setting
from ssl3d.run.task import Evaluation, Task
from ssl3d.run.training import Training


class Measurements:
    """Measures a task at the step where its training is, and remembers at which step it did.

    Args:
        task: says what is measured.
        training: of what; it does not notice.
        rows: take the numbers.
        setting: of the run.

    Attributes:
        names: of the columns that were ever measured.
    """

    def __init__(self, task: Task, training: Training, *, rows: Rows, setting: Setting) -> None:
        self._evaluations = task.evaluations()
        self._training, self._rows, self._setting = training, rows, setting
        self._steps: dict[int, int] = {}  # number of an evaluation: the last step it was done at
        self.names: set[str] = set()

    def missing(self) -> list[int]:
        """Numbers of the evaluations that were not done at this step."""
        numbers = range(len(self._evaluations))
        return [one for one in numbers if self._steps.get(one) != self._training.step]

    def due(self) -> list[int]:
        """Those of them that are due."""
        step, options = self._training.step, self._setting.options
        every = {"steps": options.steps, "otherwise": options.validate_every}
        return [one for one in self.missing() if self._evaluations[one].is_due(step, **every)]

    def take(self, numbers: Iterable[int]) -> None:
        """Do these evaluations: what rank 0 measures counts."""
        for number in numbers:
            columns = of_all_ranks(self._columns(self._evaluations[number]))[0]
            self._rows.put(columns)
            self.names |= columns.keys()
            self._steps[number] = self._training.step

    def state_dict(self) -> dict[str, Any]:
        """What a run that goes on needs."""
        return {"steps": dict(self._steps), "names": sorted(self.names)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up `state_dict`'s."""
        self._steps, self.names = dict(state["steps"]), set(state["names"])

    def _columns(self, one: Evaluation) -> dict[str, float]:
        training, fabric = self._training, self._setting.fabric
        module = training.result if one.averaged else training.module
        with training.clock.paused(), evaluating(module):
            found = one.measure(
                module, step=training.step, rank=fabric.global_rank, world=fabric.world_size
            )
        return {name: _number(value, name=name) for name, value in found.items()}


def _number(value: Any, *, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RunError(
            f"the task's evaluation gave {name!r}: {value!r}; must be one number: give a float"
        ) from error
