"""The checks of a sparse backend on one device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from ssl3d.doctor.check import Check
from ssl3d.doctor.components import default_config
from ssl3d.plugin.declared import Registered
from ssl3d.plugin.registry import installed

TOLERANCE = 1e-3
"""Of the largest value expected, for single precision; a wrong result is off by far more."""


def sparse_checks(name: str, *, device: str, required: bool, advice: str) -> Iterator[Check]:
    """Every check of an installed backend."""
    entry = installed().entry("sparse_backend", name=name)
    return checks_of_backend(entry, device=device, required=required, advice=advice)


def checks_of_backend(
    entry: Registered, *, device: str, required: bool, advice: str
) -> Iterator[Check]:
    """Every check of a backend, first whether its library loads."""
    import torch

    from ssl3d.doctor.trials import TRIALS, library
    from ssl3d.testing.sparse_under_test import SparseBackendUnderTest

    def perform(trial: Callable[[SparseBackendUnderTest], str]) -> str:
        config = default_config(entry)
        return trial(SparseBackendUnderTest(config, torch.float32, TOLERANCE, device))

    # Reduced precision would hide errors of the size that is looked for.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    for title, trial in TRIALS.items():
        first = trial is library
        yield Check(
            f"sparse backend {entry.config.component_name()}",
            title,
            partial(perform, trial),
            advice,
            device=device,
            # That it is there was asked for; an operation that it lacks is no fault.
            required=required and first,
            gate=first,
        )
