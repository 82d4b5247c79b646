"""Windows on a device that may lack the precision of the run."""

from __future__ import annotations

import torch

from ssl3d.run.precision import lacks
from ssl3d.tasks.finetune.window_spec import WindowSpec


def windows_on(device: torch.device, *, windows: WindowSpec) -> tuple[WindowSpec, str | None]:
    """The same, in single precision where the device lacks theirs, and what is to be said then."""
    lacking = lacks(windows.precision, device=device)
    if lacking is None:
        return windows, None
    return (
        windows.model_copy(update={"precision": "32"}),
        f"Predicting in single precision, not in {windows.precision} as the run: {lacking}",
    )
