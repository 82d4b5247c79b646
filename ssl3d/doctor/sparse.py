"""The checks of a sparse backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch

from ssl3d.doctor import trials
from ssl3d.doctor.check import Check, NotThere, Wrong
from ssl3d.doctor.comparison import Subject
from ssl3d.plugin.registry import Registry


def sparse_checks(
    registry: Registry, *, part: str, name: str, device: str, required: bool, advice: str
) -> Iterator[Check]:
    """Every check of one backend on one device."""
    # Reduced precision would hide errors of the size that is looked for.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    subject = Subject(registry, name, torch.device(device))
    checks: dict[str, Callable[[Subject], str]] = {
        "library": library,
        "tensor creation": trials.tensor_creation,
        "convolution": trials.convolution,
        "batch norm": trials.batch_norm,
        "625 sites, 256 channels": trials.many_channels,
        "1 000 000 sites, 4 channels": trials.many_sites,
        "network": trials.network,
        "backward": trials.backward,
        "empty input": trials.empty_input,
    }
    for title, function in checks.items():
        yield Check(
            part,
            title,
            partial(function, subject),
            advice,
            device=device,
            # That it is there was asked for; an operation that it lacks is no fault.
            required=required and function is library,
            gate=function is library,
        )


def library(subject: Subject) -> str:
    """The backend can be built: its library is there and loads."""
    try:
        return f"{type(subject.backend).__name__} loads"
    except ImportError as error:
        # The backend's own words say what to do. Python's, which name a module, tell of a library
        # that is there in part.
        if error.name is not None:
            raise Wrong(f"its library cannot be used: {error}") from error
        if isinstance(error, ModuleNotFoundError):
            raise NotThere("its library is not installed", advice=str(error)) from error
        raise Wrong("its library cannot be used", advice=str(error)) from error
