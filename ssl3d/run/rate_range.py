"""A learning-rate range test: the rate rises from step to step, and the loss says what it bears."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import nn

from ssl3d.run.bar import Bar
from ssl3d.run.optimizer import optimizer_of, set_rates
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.run_error import RunError
from ssl3d.run.task import LOSS, Task
from ssl3d.streams import Stream, global_seed

SMOOTHING = 0.9
"""Share of the older mean in the smoothed loss: it lags about ten steps behind."""

DIVERGED = 4.0
"""How many times the smallest smoothed loss ends the test, as in fastai (arXiv 2002.04688)."""

BELOW = 10.0
"""The suggestion is the rate of the smallest loss, divided by this."""


@dataclass(frozen=True)
class RateRange:
    """What a test found.

    Attributes:
        rates: of each step, rising.
        losses: of each step; the last may be NaN or infinite, which ends the test.
        smoothed: the same, smoothed; infinite where the loss is not finite.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]

    @property
    def lowest(self) -> int:
        """The step with the smallest smoothed loss."""
        return min(range(len(self.smoothed)), key=self.smoothed.__getitem__)

    @property
    def suggestion(self) -> float | None:
        """A tenth of the rate of the smallest loss; None where the loss has no minimum inside.

        The range test is Smith's (arXiv 1506.01186), the tenth fastai's (arXiv 2002.04688). At the
        minimum itself the loss is about to rise. The rate of steepest descent, their other rule,
        is a difference of neighbours, and where each batch hides something else that is mostly
        noise.
        """
        inside = 0 < self.lowest < len(self.rates) - 1
        return self.rates[self.lowest] / BELOW if inside else None


def rate_range(
    task: Task,
    *,
    fabric: Fabric,
    optimizer: OptimizerSpec,
    seed: int,
    lowest: float,
    highest: float,
    steps: int,
    bar: Bar | None = None,
) -> RateRange:
    """Take steps of one micro-batch each at exponentially rising rates.

    The module is left as it was. Decay of weights and clipping are those of the spec.

    Args:
        task: to train.
        fabric: launched, with one rank.
        optimizer: by which rule; its rate and schedule do not matter.
        seed: of what layers draw at random.
        lowest: the first rate.
        highest: the last rate, where the loss does not end the test before.
        steps: from the one to the other, from 2.
        bar: shows the steps.

    Raises:
        RunError: there are several ranks, the rates do not rise, or the first loss is not finite.
    """
    if fabric.world_size > 1:
        raise RunError("a learning-rate range test runs in one process: start one")
    if not (0 < lowest < highest < math.inf and steps >= 2):
        raise RunError(
            f"given rates from {lowest:g} to {highest:g} in {steps} steps: the first must be above "
            "0 and below the last, which is finite, in 2 steps or more"
        )
    rates = [lowest * (highest / lowest) ** (step / (steps - 1)) for step in range(steps)]
    losses, smoothed, mean = list[float](), list[float](), 0.0
    with ExitStack() as held:
        held.enter_context(torch.random.fork_rng(devices=[]))  # loaders draw from the global one
        held.enter_context(_left_as_it_was(task.module))
        batches: Any = task.batches(start=0, rank=0, world=1)
        held.enter_context(closing(batches) if hasattr(batches, "close") else nullcontext())
        rule = optimizer_of(optimizer, groups=task.parameter_groups())
        model, rule = fabric.setup(task.module.train(), rule)
        for step, rate in enumerate(rates):
            batch = next(batches)
            with global_seed(seed, Stream.LAYERS, *batch.samples, device=fabric.device):
                loss = model(batch.to(fabric.device))[LOSS]
            value = float(loss.detach())
            if not math.isfinite(value):
                losses.append(value)
                smoothed.append(math.inf)
                break
            fabric.backward(loss)
            at = partial(_scaled, rate=rate)
            set_rates(rule, spec=optimizer, step=step, steps=steps, rate=at)
            if optimizer.clip is not None:
                fabric.clip_gradients(
                    model, rule, max_norm=optimizer.clip, error_if_nonfinite=False
                )
            rule.step()
            rule.zero_grad()
            mean = SMOOTHING * mean + (1 - SMOOTHING) * value
            losses.append(value)
            smoothed.append(mean / (1 - SMOOTHING ** (step + 1)))  # of the steps there are
            if bar is not None:
                bar.add_loss(value)
                bar.update(step + 1, speed=None, also=f"rate {rate:.2g}")
            if smoothed[-1] - min(smoothed) > (DIVERGED - 1) * abs(min(smoothed)):
                break
    if not math.isfinite(losses[0]):
        raise RunError(
            "the first loss is not finite: train, and look at the step that is kept in faults/"
        )
    return RateRange(tuple(rates[: len(losses)]), tuple(losses), tuple(smoothed))


def _scaled(group: Mapping[str, Any], *, rate: float, **_: Any) -> float:
    """A rate, for a group that may have its own scale."""
    return rate * float(group.get("lr_scale", 1.0))


@contextmanager
def _left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Put back weights, statistics, mode, device and gradients."""
    before = {name: value.detach().clone() for name, value in module.state_dict().items()}
    device, training = next(module.parameters()).device, module.training
    try:
        yield
    finally:
        module.to(device).train(training)
        module.load_state_dict(before)
        module.zero_grad(set_to_none=True)
