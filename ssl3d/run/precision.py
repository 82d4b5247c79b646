"""The precision of a run: resolved by its devices, as autocast, and what is left in single."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from ssl3d.run.trainer_spec import TrainerSpec

HALVES = {"bf16": torch.bfloat16, "16": torch.float16}

BF16, TENSOR_CORES = (8, 0), (7, 0)
"""Compute capabilities of CUDA devices from which on these are there."""


def with_precision(options: TrainerSpec) -> TrainerSpec:
    """The same with a precision and a decision about TF32: both depend on the devices.

    `auto` is bf16 where all CUDA devices that may be used have it, 16 where all have tensor cores,
    else 32; on a CPU 32. TF32 goes with half precision, unless results shall repeat.
    """
    auto = options.precision == "auto"
    precision, tf32 = _of_devices(options) if auto else options.precision, options.tf32
    if tf32 is None:
        tf32 = precision in HALVES and not options.deterministic
    return options.model_copy(update={"precision": precision, "tf32": tf32})


def kept_precision(options: TrainerSpec, *, of: TrainerSpec) -> TrainerSpec:
    """The same with the precision of the run that goes on, where it is left open."""
    if options.precision != "auto":
        return options
    return options.model_copy(update={"precision": of.precision})


def autocast(precision: str, *, device: torch.device) -> AbstractContextManager[object]:
    """What training computes its losses in; evaluations that shall do so as well enter it."""
    half = HALVES.get(precision)
    return nullcontext() if half is None else torch.autocast(device.type, half)


def lacks(precision: str, *, device: torch.device) -> str | None:
    """What a device says against a precision; None where it has it."""
    if precision == "16" and device.type == "cpu":
        return "16 needs a GPU; given a CPU: use 32 or bf16"
    if precision != "bf16" or device.type != "cuda":
        return None
    if torch.cuda.get_device_capability(device) >= BF16:
        return None
    return f"{torch.cuda.get_device_name(device)} has no bf16: use 16 or 32"


@contextmanager
def tf32(allowed: bool, *, device: torch.device) -> Iterator[None]:
    """Inside, matrix products and convolutions in single precision take TF32 or do not.

    By default torch allows it for convolutions alone. Devices other than CUDA are left as they are.
    """
    if device.type != "cuda":
        yield
        return
    convolutions = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), convolutions.allow_tf32
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        convolutions.allow_tf32 = before[1]


def in_words(options: TrainerSpec, *, device: torch.device, asked: str) -> str:
    """What a run computes on and how: said at its start.

    Args:
        options: resolved.
        device: of this rank.
        asked: precision in the spec.
    """
    name = "the CPU" if device.type == "cpu" else str(device)
    how = options.precision + (" (auto)" if asked == "auto" else "")
    if device.type != "cuda":
        return f"On {name}, precision {how}"
    rest = "TF32" if options.tf32 else "no TF32"
    return f"On {name}, {torch.cuda.get_device_name(device)}, precision {how}, {rest}"


def _of_devices(options: TrainerSpec) -> str:
    if options.accelerator == "cpu" or not torch.cuda.is_available():
        return "32"
    weakest = min(torch.cuda.get_device_capability(index) for index in _indices(options))
    if weakest >= BF16:
        return "bf16"
    return "16" if weakest >= TENSOR_CORES else "32"


def _indices(options: TrainerSpec) -> range:
    """CUDA devices that ranks on this machine may use, the first ones of those that it has."""
    count, wanted = torch.cuda.device_count(), options.devices
    if "LOCAL_RANK" in os.environ or not isinstance(wanted, int) or wanted < 1:
        return range(count)
    return range(min(count, wanted))
