"""From step to step, and what is due after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from lightning.fabric import Fabric
from torch import Tensor

from ssl3d.folder import RunFolder
from ssl3d.run.bar import Bar
from ssl3d.run.best import check_measured, ends_early
from ssl3d.run.capture import capture, capture_folder
from ssl3d.run.checkpoint_file import write_checkpoint
from ssl3d.run.evaluating import evaluating
from ssl3d.run.faults import Faults
from ssl3d.run.feed import Feed
from ssl3d.run.kept import prune, scores_of
from ssl3d.run.memory import memory
from ssl3d.run.ranks import of_all_ranks
from ssl3d.run.rows import Rows
from ssl3d.run.run_error import RunError
from ssl3d.run.sent import Verdict, send
from ssl3d.run.signals import Signals
from ssl3d.run.tally import Tally
from ssl3d.run.task import LOSS, Batch, Evaluation, Task
from ssl3d.run.trainer_spec import TrainerSpec
from ssl3d.run.training import KEY, Training
from ssl3d.streams import Stream, global_seed

End = Literal["finished", "early", "hours", "asked"]


class _Sent(NamedTuple):
    """A step whose numbers are on their way from the device."""

    fed: list[tuple[Batch, Tensor]]
    read: Callable[[], Verdict]


@dataclass
class Loop:
    """Takes the steps of a run.

    Attributes:
        late: True on a GPU: the numbers of a step are read after the next backward pass is queued
            and before the next update, so nobody waits, and weights are still those of the step.
            They are read at once where something is due that needs them, and on a CPU.
    """

    task: Task
    training: Training
    faults: Faults
    rows: Rows
    fabric: Fabric
    options: TrainerSpec
    seed: int
    folder: RunFolder
    about: Mapping[str, Any]
    stop: Signals
    bar: Bar
    warn: Callable[[str], None]
    late: bool = False
    _tally: Tally = field(default_factory=Tally)
    _sent: _Sent | None = None
    _norm: float = 0.0
    _end: End | None = None

    def run(self) -> End:
        """Train to the end, and say which it was."""
        training, steps = self.training, self.options.steps
        self._began, self._first = time.monotonic(), training.samples
        self._evaluations = self.task.evaluations()
        if training.step == 0:
            self._measure(self._evaluations)
            self.rows.write(0)
        if self.options.best is not None and self.fabric.global_rank == 0:
            check_measured(self.options.best, self.rows.latest)
        self._end = "finished" if training.step >= steps else self._early()
        if self._end is None:
            batches = self.task.batches(
                start=training.samples, rank=self.fabric.global_rank, world=self.fabric.world_size
            )
            self._feed = Feed(batches, warn=self.warn)
            ends: Any = closing(batches) if hasattr(batches, "close") else nullcontext()
            with self.bar.shown(), ends:
                self._since = training.clock.seconds
                training.clock.start()
                while self._end is None:
                    self._step()
                    self._after()
                training.clock.stop()
        self.rows.close("success")
        return self._end

    def _step(self) -> None:
        """Feed the micro-batches of one optimiser step, and take it."""
        training, fabric, parts = self.training, self.fabric, self.options.accumulate
        training.buffers.keep()
        fed = []
        for part in range(parts):
            batch = self._feed.next()
            training.samples += len(batch.samples) * fabric.world_size
            with fabric.no_backward_sync(training.model, enabled=part + 1 < parts):
                with global_seed(self.seed, Stream.LAYERS, *batch.samples, device=fabric.device):
                    outputs = training.model(batch.to(fabric.device))
                fabric.backward(outputs[LOSS] / parts)
            self._tally.add(outputs)
            fed.append((batch, outputs[LOSS].detach()))
        self._settle()
        scale = training.scale if training.scale is None else training.scale.clone()
        norm = training.update()
        read = send(
            norm=norm,
            losses=[loss for _, loss in fed],
            scale=scale,
            stop=self.stop.requested or self._hours_are_over(),
            sums=self._tally.take(),
        )
        self._sent = _Sent(fed, read)

    def _settle(self) -> None:
        """Read what became of the last step that was taken."""
        if self._sent is None:
            return
        (fed, read), self._sent = self._sent, None
        verdict = read()
        if not verdict.bad_losses:
            self.training.means.add(verdict.sums, tally=self._tally)
            self.bar.add_loss(verdict.sums[0] / max(verdict.sums[len(self._tally.names)], 1e-9))
        self.faults.count_losses(verdict.bad_losses)
        self._norm = verdict.norm
        if self.faults.is_fault(verdict):
            self._fault(verdict, fed=fed)
        if verdict.stop:
            asked = any(of_all_ranks(self.stop.requested))
            self._end = "asked" if asked else "hours"

    def _fault(self, verdict: Verdict, *, fed: list[tuple[Batch, Tensor]]) -> None:
        """Keep a skipped step for `replay`, and count it."""
        step, rank = self.training.step, self.fabric.global_rank
        bad = [(b, loss) for b, loss in fed if not verdict.bad_losses or not loss.isfinite()]
        own = [source for batch, _ in bad for source in batch.sources]
        path = of_all_ranks(capture_folder(self.folder, step))[0]
        captured = "Enough steps of this run are captured: this one is not"
        if path is not None:
            capture(
                path,
                batches=[batch for batch, _ in fed],
                weights={**self.training.module.state_dict(), **self.training.buffers.before},
                about={
                    **self.about,
                    "step": step,
                    "seed": self.seed,
                    "precision": self.options.precision,
                },
                rank=rank,
            )
            captured = f"To see where: ssl3d replay {path}"
        sources = [source for part in of_all_ranks(own) for source in part]
        self.faults.add(
            step, verdict=verdict, sources=sources, captured=captured, folder=self.folder
        )

    def _after(self) -> None:
        """Measure, log and save where it is due."""
        training, options = self.training, self.options
        step, last = training.step, training.step == options.steps
        due = [one for one in self._evaluations if self._is_due(one)]
        logged = last or step % options.log_every == 0
        saved = last or step % options.checkpoint_every == 0
        if self._end or due or logged or saved or not self.late:
            self._settle()
        if last:
            self._end = "finished"
        self._measure(due)
        if due and self._end is None:
            self._end = self._early()
            if self._end is not None:  # what is measured after the last step
                self._measure(one for one in self._evaluations if one not in due)
        if logged:
            self.rows.put(self._columns())
        self.rows.write(step)
        seconds = max(training.clock.seconds - self._since, 1e-9)
        shown = self.rows.latest.get(self.task.shown)
        self.bar.update(
            step,
            speed=(training.samples - self._first) / seconds,
            also="" if shown is None else f"{self.task.shown} {shown:.3f}",
        )
        if saved or self._end is not None:
            self._save()

    def _is_due(self, one: Evaluation) -> bool:
        every = self.options.validate_every
        return one.is_due(self.training.step, steps=self.options.steps, otherwise=every)

    def _measure(self, due: Iterable[Evaluation]) -> None:
        """Put what rank 0 measures; training does not notice."""
        training, fabric = self.training, self.fabric
        for one in due:
            module = training.result if one.averaged else training.module
            with training.clock.paused(), evaluating(module), fabric.autocast():
                numbers = one.measure(
                    module, step=training.step, rank=fabric.global_rank, world=fabric.world_size
                )
            self.rows.put(of_all_ranks(numbers)[0])

    def _early(self) -> End | None:
        """Whether the best number has not got better for too long."""
        best = self.options.best
        early = best is not None and ends_early(best, self.rows.all)
        return "early" if of_all_ranks(early)[0] else None

    def _columns(self) -> dict[str, float]:
        """What is logged of the steps since the last row."""
        training = self.training
        seconds = training.clock.seconds - training.row_seconds
        volumes = training.samples - training.row_samples
        training.row_seconds, training.row_samples = training.clock.seconds, training.samples
        means = {**training.means.take(), **self.faults.take()}
        return {
            **{f"train/{name}": value for name, value in means.items()},
            "learning_rate": training.lr,
            "gradient_norm": self._norm,
            "volumes": float(training.samples),
            "volumes_per_second": volumes / max(seconds, 1e-9),
            "data_wait": self._feed.waited(seconds),
            "memory_gib": memory(self.fabric.device),
        }

    def _save(self) -> None:
        """Write a checkpoint, and remove those that are not to be kept.

        Raises:
            RunError: on all ranks, where it cannot be written.
        """
        problem, best = None, self.options.best
        with self.training.clock.paused():
            if self.fabric.global_rank == 0:
                state = {**self.training.state_dict(), "faults": self.faults.state_dict()}
                state[KEY] = {**self.about, **state[KEY]}
                try:
                    write_checkpoint(self.folder.checkpoint(self.training.step), state)
                except RunError as error:
                    problem = str(error)
                prune(
                    self.folder,
                    newest=self.options.keep_checkpoints,
                    scores=None if best is None else scores_of(self.rows.all, best.number),
                    highest=best is not None and best.larger,
                )
            problem = of_all_ranks(problem)[0]
        if problem is not None:
            raise RunError(problem)

    def _hours_are_over(self) -> bool:
        hours = self.options.max_hours
        return hours is not None and time.monotonic() - self._began > 3600 * hours
