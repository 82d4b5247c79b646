"""Where a training step waits for the GPU, by source line."""

from __future__ import annotations

import collections
import traceback
import warnings
from typing import Any

import torch
from internals import Batch
from settings import Settings
from step import Step
from timing import clear


def run(names: list[str], settings: Settings) -> dict[str, Any]:
    """Waits of one step of each network, without the loop around it; none is seen on a CPU."""
    found: dict[str, Any] = {}
    for name in names:
        step = Step(name, "visible", settings)
        # As the loader pins it.
        made = step.made.pin_memory() if settings.cuda else step.made
        one_step(step, made)
        counts = waits_of(step, made, settings)
        found[name] = {"waits a step": sum(counts.values()), "by line": dict(counts.most_common())}
        print(f"{name}: {sum(counts.values())} waits a step (without trainer and callbacks)")
        for where, n in counts.most_common(12):
            print(f"    {n:4} {where}")
        settings.save("waits_" + "_".join(names), found)
        clear(settings)
    return found


def one_step(step: Step, made: Batch) -> None:
    """As in training: a batch from a loader is moved to the device, and the model steps."""
    step.loss_of(made.to(step.device)).backward()
    step.optimizer.step()
    step.optimizer.zero_grad(set_to_none=True)


def waits_of(step: Step, made: Batch, settings: Settings) -> collections.Counter[str]:
    """How often each line of ssl3d waits."""
    counts: collections.Counter[str] = collections.Counter()

    def note(message: Any, _category: Any, filename: str, lineno: int, *_: Any) -> None:
        if "synchroniz" not in str(message):
            return
        here = [
            f
            for f in traceback.extract_stack()
            if "/ssl3d" in f.filename and "/gpu/" not in f.filename
        ]
        last = (here[-1].filename, here[-1].lineno) if here else (filename, lineno)
        counts[f"{'/'.join(last[0].split('/')[-3:])}:{last[1]}"] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        if settings.cuda:
            torch.cuda.set_sync_debug_mode("warn")
        one_step(step, made)
        if settings.cuda:
            torch.cuda.set_sync_debug_mode("default")
    return counts
