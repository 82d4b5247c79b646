"""From step to step."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor

from ssl3d.run.capture import captured
from ssl3d.run.faults import Faults
from ssl3d.run.feed import Feed
from ssl3d.run.ranks import of_all_ranks
from ssl3d.run.sent import Verdict, send
from ssl3d.run.setting import Setting
from ssl3d.run.signals import SAVED, Signals
from ssl3d.run.tally import Tally
from ssl3d.run.task import LOSS, Batch, Task
from ssl3d.run.training import Training
from ssl3d.run.watch import Watch
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
        began: when this start of the run began, by `time.monotonic`.
        late: True on a GPU: the numbers of a step are read after the next backward pass is queued
            and before the next update, so nobody waits, and weights are still those of the step.
            They are read at once where something is due that needs them, and on a CPU.
        exit_code: for the program: not 0 where the run is saved and not done.
        feed: of the batches; None where no step was taken.
    """

    task: Task
    training: Training
    faults: Faults
    watch: Watch
    stop: Signals
    setting: Setting
    began: float
    late: bool = field(init=False)
    exit_code: int = 0
    feed: Feed | None = None
    _tally: Tally = field(default_factory=Tally)
    _sent: _Sent | None = None
    _end: End | None = None

    def __post_init__(self) -> None:
        self.late = self.setting.fabric.device.type == "cuda"

    def run(self) -> End:
        """Train to the end, and say which it was."""
        training, options = self.training, self.setting.options
        early = self.watch.begin()
        if training.step >= options.steps or early:
            return "early" if training.step < options.steps else "finished"
        fabric = self.setting.fabric
        batches = self.task.batches(
            start=training.samples, rank=fabric.global_rank, world=fabric.world_size
        )
        feed = self.feed = Feed(batches, warn=self.setting.warn)
        ends: Any = closing(batches) if hasattr(batches, "close") else nullcontext()
        with ends, training.clock.running():
            while self._end is None:
                self._step(feed)
                if self.watch.is_due() or self._end is not None or not self.late:
                    self._settle()
                if training.step == options.steps:
                    self._end, self.exit_code = "finished", 0
                early = self.watch.after_step(feed=feed, ends=self._end is not None)
                if early and self._end != "finished":
                    self._end, self.exit_code = "early", 0
        return self._end

    def _step(self, feed: Feed) -> None:
        """Feed the micro-batches of one optimiser step, and take it."""
        training, fabric = self.training, self.setting.fabric
        seed, parts = self.setting.seed, self.setting.options.accumulate
        training.buffers.keep()
        fed = []
        for part in range(parts):
            batch = feed.next()
            training.samples += len(batch.samples) * fabric.world_size
            with (
                fabric.no_backward_sync(training.model, enabled=part + 1 < parts),
                global_seed(seed, Stream.LAYERS, *batch.samples, device=fabric.device),
            ):
                outputs = training.forward_backward(batch.to(fabric.device))
            self._tally.add(outputs)
            fed.append((batch, outputs[LOSS].detach()))
        self._settle()
        scale = training.scale if training.scale is None else training.scale.clone()
        norm = training.update()
        read = send(
            norm=norm,
            losses=[loss for _, loss in fed],
            scale=scale,
            stop=self._shall_stop(),
            sums=self._tally.take(),
        )
        self._sent = _Sent(fed, read)

    def _shall_stop(self) -> bool:
        """True where this rank was asked to stop, or its hours are over."""
        hours = self.setting.options.max_hours
        over = hours is not None and time.monotonic() - self.began > 3600 * hours
        return self.stop.requested or over

    def _settle(self) -> None:
        """Read what became of the last step that was taken."""
        if self._sent is None:
            return
        (fed, read), self._sent = self._sent, None
        verdict = read()
        if not verdict.bad_losses:
            self.training.means.add(verdict.sums, tally=self._tally)
            self.watch.add_loss(verdict.sums[0], share=verdict.sums[len(self._tally.names)])
        self.faults.count_losses(verdict.bad_losses)
        self.watch.norm = verdict.norm
        if self.faults.is_fault(verdict):
            self._fault(verdict, fed=fed)
        if verdict.stop:
            code = max(of_all_ranks(self.stop.exit_code))
            self._end = "asked" if code else "hours"
            self.exit_code = code or SAVED

    def _fault(self, verdict: Verdict, *, fed: list[tuple[Batch, Tensor]]) -> None:
        """Keep a skipped step for `replay`, and count it."""
        step, setting = self.training.step, self.setting
        bad = [(b, loss) for b, loss in fed if not verdict.bad_losses or not loss.isfinite()]
        own = [source for batch, _ in bad for source in batch.sources]
        what = captured(
            setting.folder,
            batches=[batch for batch, _ in fed],
            weights={**self.training.module.state_dict(), **self.training.buffers.before},
            about={
                **setting.about,
                "step": step,
                "seed": setting.seed,
                "precision": setting.options.precision,
                "tf32": setting.options.tf32,
            },
        )
        sources = [source for part in of_all_ranks(own) for source in part]
        self.faults.add(step, verdict=verdict, sources=sources, captured=what)
