"""A captured step once more, to see where it ceases to be finite."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import detect_anomaly

from ssl3d.run.capture import WEIGHTS, captured_batches
from ssl3d.run.checkpoint_file import read_checkpoint
from ssl3d.run.precision import autocast, tf32
from ssl3d.run.run_error import RunError
from ssl3d.run.task import LOSS, Batch
from ssl3d.streams import Stream, global_seed

SHOWN = 5
"""Parameters that are named before the rest is counted."""


@dataclass(frozen=True)
class Replayed:
    """What one micro-batch gave.

    Attributes:
        rank: that had it.
        number: of the micro-batch in the step, from 0.
        sources: of its samples.
        numbers: what the module returned.
        not_finite: names of parameters whose gradient is not finite.
        where: the operation at fault; empty where all is finite.
    """

    rank: int
    number: int
    sources: tuple[str, ...]
    numbers: dict[str, float]
    not_finite: tuple[str, ...]
    where: str


def described(replayed: Replayed) -> str:
    """A micro-batch in words."""
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in replayed.numbers.items())
    lines = [
        f"rank {replayed.rank}, micro-batch {replayed.number}: {numbers}",
        *(f"  {source}" for source in replayed.sources),
    ]
    if not replayed.not_finite:
        return "\n".join([*lines, "  its gradient is finite"])
    named = ", ".join(replayed.not_finite[:SHOWN])
    more = len(replayed.not_finite) - SHOWN
    rest = f" and {more} more" if more > 0 else ""
    return "\n".join(
        [*lines, f"  gradients that are not finite: {named}{rest}", f"  {replayed.where}"]
    )


def about_step(path: Path) -> dict[str, Any]:
    """What was written of a captured step besides tensors, its run's spec among it.

    Raises:
        RunError: there is none.
    """
    about: dict[str, Any] = _weights(path)["about"]
    return about


def replay(
    module: nn.Module,
    *,
    path: Path,
    batch_types: Sequence[type],
    device: torch.device | str = "cpu",
) -> Iterator[Replayed]:
    """Take the micro-batches of a captured step, with its weights and random numbers.

    Each is taken alone: batch statistics are those of its own rank.

    Args:
        module: of the task that it was captured in, built anew.
        path: of the step's folder.
        batch_types: of that task.
        device: to compute on; only the one of the run gives the same bits.

    Raises:
        RunError: there is no captured step, it is damaged, its weights do not fit the module, or
            there is no such device.
    """
    device = _there(device)
    content = _weights(path)
    about, module = content["about"], module.to(device)

    def forward(batch: Batch) -> dict[str, Tensor]:
        module.load_state_dict(content["state_dict"])  # statistics as they were
        module.zero_grad()
        with (
            global_seed(about["seed"], Stream.LAYERS, *batch.samples, device=device),
            autocast(about["precision"], device=device),
        ):
            outputs: dict[str, Tensor] = module(batch.to(device))
        return outputs

    try:
        module.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise RunError(f"{path / WEIGHTS} does not fit the spec: {error}") from error
    module.train()
    for rank, batches in captured_batches(path, types=batch_types).items():
        for number, batch in enumerate(batches):
            with tf32(bool(about.get("tf32")), device=device):  # older ones do not say
                outputs = forward(batch)
                torch.autograd.backward(outputs[LOSS])
                bad = tuple(
                    name
                    for name, parameter in module.named_parameters()
                    if parameter.grad is not None and not parameter.grad.isfinite().all()
                )
                where = _where(forward, batch) if bad else ""
            yield Replayed(
                rank,
                number,
                sources=tuple(batch.sources),
                numbers={name: float(value.detach()) for name, value in outputs.items()},
                not_finite=bad,
                where=where,
            )


def _where(forward: Callable[[Batch], dict[str, Tensor]], batch: Batch) -> str:
    """The operation whose backward pass is not finite, and the line that it comes from."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with detect_anomaly():
                torch.autograd.backward(forward(batch)[LOSS])
        except RuntimeError as error:
            trace = "".join(str(warning.message) for warning in said)
            line = re.findall(r'File "(.*)", line (\d+), in (\w+)\n', trace)
            at = "" if not line else f" It was computed at {line[-1][0]}:{line[-1][1]}."
            return f"{error}{at}"
    return "Autograd names no operation: the gradient overflows where parts of it are added up"


def _there(name: torch.device | str) -> torch.device:
    """A device that can be computed on."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        what = str(error).partition("\n")[0]
        raise RunError(f"device: {name} cannot be computed on: {what}") from error


def _weights(path: Path) -> dict[str, Any]:
    if not (path / WEIGHTS).exists():
        raise RunError(f"{path} holds no captured step: give a folder faults/step-… of a run")
    return read_checkpoint(path / WEIGHTS)
