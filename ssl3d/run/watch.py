"""What is due after a step: measuring, logging, saving."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ssl3d.run.bar import Bar
from ssl3d.run.best import check_measured, ends_early
from ssl3d.run.checkpoint_file import write_checkpoint
from ssl3d.run.evaluating import evaluating
from ssl3d.run.faults import Faults
from ssl3d.run.feed import Feed
from ssl3d.run.kept import prune, scores_of
from ssl3d.run.memory import memory
from ssl3d.run.ranks import of_all_ranks
from ssl3d.run.rows import Rows
from ssl3d.run.run_error import RunError
from ssl3d.run.setting import Setting
from ssl3d.run.task import Evaluation, Task
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
    _evaluations: Sequence[Evaluation] = field(init=False)

    def begin(self) -> bool:
        """Measure what training starts from; True where a run that goes on ends early."""
        self._evaluations = self.task.evaluations()
        self._first, self._since = self.training.samples, self.training.clock.seconds
        if self.training.step == 0:
            self._measure(self._evaluations)
            self._write_row()
            if self.setting.options.best is not None and self.setting.main:
                check_measured(self.setting.options.best, self.rows.latest)
        return self._ends_early()

    def is_due(self) -> bool:
        """True where something is that needs the numbers of the last step."""
        return self._logs or self._saves or bool(self._measured)

    def after_step(self, *, feed: Feed, ends: bool) -> bool:
        """Do what is due; True where the run ends early.

        Args:
            feed: knows how long training waited.
            ends: True after the step that ends the run.
        """
        due = self._measured
        self._measure(due)
        early = bool(due) and not ends and self._ends_early()
        if early:  # what is measured after the last step
            self._measure(one for one in self._evaluations if one not in due)
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
        if self._saves or ends or early:
            self._save()
        return early

    def add_loss(self, loss: float, *, share: float) -> None:
        """Show a step's loss, where it measured anything."""
        if share > 0:
            self.bar.add_loss(loss / share)

    @property
    def _logs(self) -> bool:
        return self._is_time(self.setting.options.log_every)

    @property
    def _saves(self) -> bool:
        return self._is_time(self.setting.options.checkpoint_every)

    @property
    def _measured(self) -> list[Evaluation]:
        step, options = self.training.step, self.setting.options
        every = {"steps": options.steps, "otherwise": options.validate_every}
        return [one for one in self._evaluations if one.is_due(step, **every)]

    def _is_time(self, every: int) -> bool:
        return self.training.step == self.setting.options.steps or self.training.step % every == 0

    def _measure(self, due: Iterable[Evaluation]) -> None:
        """Put what rank 0 measures; training does not notice."""
        training, fabric = self.training, self.setting.fabric
        for one in due:
            module = training.result if one.averaged else training.module
            with training.clock.paused(), evaluating(module):
                numbers = one.measure(
                    module, step=training.step, rank=fabric.global_rank, world=fabric.world_size
                )
            self.rows.put(of_all_ranks(numbers)[0])

    def _write_row(self) -> None:
        for remark in self.task.remarks(self.rows.pending):
            self.setting.warn(remark)
        self.rows.write(self.training.step)

    def _ends_early(self) -> bool:
        """Whether the best number has not got better for too long."""
        best = self.setting.options.best
        early = best is not None and ends_early(best, self.rows.all)
        return bool(of_all_ranks(early)[0])

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
                state = {**self.training.state_dict(), "faults": self.faults.state_dict()}
                state[KEY] = {**self.setting.about, **state[KEY]}
                try:
                    write_checkpoint(folder.checkpoint(self.training.step), state)
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
