"""What a run ran on."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from typing import Any

import torch

import ssl3d
from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.origin import installed_version, plugins_of

LIBRARIES = ("torch", "lightning", "monai", "numpy", "nibabel", "ptwt", "pydantic", "blosc2")


def environment(components: Iterable[ComponentConfig], *, device: str) -> dict[str, Any]:
    """Plain values for `environment.json`.

    Args:
        components: of the run; they are listed with the distributions they come from.
        device: that the run computes on.
    """
    return {
        "ssl3d": ssl3d.__version__,
        "plugins": plugins_of(components),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "libraries": {name: installed_version(name) for name in LIBRARIES},
        "device": device,
        "cuda": torch.version.cuda,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "command": sys.argv,
    }
