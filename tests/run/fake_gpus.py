"""GPUs that are not there, as torch would tell of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

Capability = tuple[int, int]
FakeGpus = Callable[..., None]


def fake_gpus(patch: pytest.MonkeyPatch, *capabilities: Capability) -> None:
    """torch reports CUDA devices of these compute capabilities."""

    def capability(device: torch.device | int | None = None) -> Capability:
        index = device.index if isinstance(device, torch.device) else device
        return capabilities[index or 0]

    def name(device: torch.device | int | None = None) -> str:
        return "Fake {}.{}".format(*capability(device))

    patch.setattr(torch.cuda, "is_available", lambda: bool(capabilities))
    patch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    patch.setattr(torch.cuda, "get_device_capability", capability)
    patch.setattr(torch.cuda, "get_device_name", name)
