"""What is due after a step: measuring, logging, saving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ssl3d.run.bar import Bar
from ssl3d.run.best import check_measured, ends_early
from ssl3d.run.checkpoint_file import write_checkpoint
from ssl3d.run.faults import Faults
from ssl3d.run.feed import Feed
from ssl3d.run.kept import best_step, prune, scores_of
from ssl3d.run.measurements import Measurements
from ssl3d.run.memory import memory
from ssl3d.run.ranks import of_all_ranks
from ssl3d.run.rows import Rows
from ssl3d.run.run_error import RunError
from ssl3d.run.setting import Setting
from ssl3d.run.task import Task
from ssl3d.run.training import KEY, Training


@dataclass
class Watch:
    """Measures, logs and saves where it is due.

    Attributes:
        norm: of the gradient of the last step.
    """

    task: Task
    training: Training
    faults: Faults
    rows: Rows
    bar: Bar
    setting: Setting
    norm: float = 0.0
    _measurements: Measurements = field(init=False)

    def __post_init__(self) -> None:
        self._measurements = Measurements(
            self.task, self.training, rows=self.rows, setting=self.setting
        )

    def begin(self) -> bool:
        """Measure what training starts from, or what is missing where a run that goes on has ended.

        Returns:
            True where it has ended early.

        Raises:
            RunError: `trainer.best` names nothing that is measured.
        """
        self._first, self._since = self.training.samples, self.training.clock.seconds
        step, found = self.training.step, self._measurements
        if step == 0:
            found.take(found.missing())
            self._write_row()
            self._check_best()
        early = self._ends_early()
        if (early or step == self.setting.options.steps) and found.missing():
            found.take(found.missing())
            self._write_row()
            self._save()  # what was measured is not measured again
        return early

    def is_due(self) -> bool:
        """True where something is that needs the numbers of the last step."""
        return self._logs or self._saves or bool(self._measurements.due())

    def after_step(self, *, feed: Feed, ends: bool) -> bool:
        """Do what is due; True where the best number has not got better for too long.

        Args:
            feed: knows how long training waited.
            ends: True after the step that ends the run, or this start of it.
        """
        found, due = self._measurements, self._measurements.due()
        found.take(due)
        early = bool(due) and self._ends_early()
        if early:  # what is measured after the last step
            found.take(found.missing())
        if self._logs:
            self.rows.put(self._columns(feed))
        self._write_row()
        seconds = max(self.training.clock.seconds - self._since, 1e-9)
        shown = self.rows.latest.get(self.task.shown)
        self.bar.update(
            self.training.step,
            speed=(self.training.samples - self._first) / seconds,
            also="" if shown is None else f"{self.task.shown} {shown:.3f}",
        )
        if ends or early:
            self.training.clock.stop()  # what is saved is what the run comes to
        if self._saves or ends or early or (due and self._is_best()):
            self._save()
        return early

    def add_loss(self, loss: float, *, share: float) -> None:
        """Show a step's loss, where it measured anything."""
        if share > 0:
            self.bar.add_loss(loss / share)

    def state_dict(self) -> dict[str, Any]:
        """What was measured when."""
        return self._measurements.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up `state_dict`'s; raises RunError where `trainer.best` is not among its names."""
        self._measurements.load_state_dict(state)
        self._check_best()

    @property
    def _logs(self) -> bool:
        return self._is_time(self.setting.options.log_every)

    @property
    def _saves(self) -> bool:
        return self._is_time(self.setting.options.checkpoint_every)

    def _is_time(self, every: int) -> bool:
        return self.training.step == self.setting.options.steps or self.training.step % every == 0

    def _write_row(self) -> None:
        for remark in self.task.remarks(self.rows.pending):
            self.setting.warn(remark)
        self.rows.write(self.training.step)

    def _check_best(self) -> None:
        if self.setting.options.best is not None:
            check_measured(self.setting.options.best, self._measurements.names)

    def _ends_early(self) -> bool:
        """Whether the best number has not got better for too long."""
        best = self.setting.options.best
        early = best is not None and ends_early(best, self.rows.all)
        return bool(of_all_ranks(early)[0])

    def _is_best(self) -> bool:
        """Whether this step's number is better than all before: the weights are to be kept."""
        best = self.setting.options.best
        found = best is not None and self.training.step == best_step(
            scores_of(self.rows.all, best.number), highest=best.larger
        )
        return bool(of_all_ranks(found)[0])

    def _columns(self, feed: Feed) -> dict[str, float]:
        """What is logged of the steps since the last row."""
        training = self.training
        seconds = training.clock.seconds - training.row_seconds
        volumes = training.samples - training.row_samples
        training.row_seconds, training.row_samples = training.clock.seconds, training.samples
        means = {**training.means.take(), **self.faults.take()}
        return {
            **{f"train/{name}": value for name, value in means.items()},
            "learning_rate": training.lr,
            "gradient_norm": self.norm,
            "volumes": float(training.samples),
            "volumes_per_second": volumes / max(seconds, 1e-9),
            "data_wait": feed.waited(seconds),
            "memory_gib": memory(self.setting.fabric.device),
        }

    def _save(self) -> None:
        """Write a checkpoint, and remove those that are not to be kept.

        Raises:
            RunError: on all ranks, where it cannot be written.
        """
        problem, best, folder = None, self.setting.options.best, self.setting.folder
        with self.training.clock.paused():
            if self.setting.main:
                state = {
                    **self.training.state_dict(),
                    "faults": self.faults.state_dict(),
                    "watch": self.state_dict(),
                }
                state[KEY] = {**self.setting.about, **state[KEY]}
                try:
                    write_checkpoint(folder.checkpoint(self.training.step), state)
                    if not self.faults.streak(self.training.step):  # one before it may be needed
                        prune(
                            folder,
                            newest=self.setting.options.keep_checkpoints,
                            scores=None if best is None else scores_of(self.rows.all, best.number),
                            highest=best is not None and best.larger,
                        )
                except RunError as error:
                    problem = str(error)
            problem = of_all_ranks(problem)[0]
        if problem is not None:
            raise RunError(problem)
