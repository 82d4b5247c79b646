"""What a run ran on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

import torch

import ssl3d
from ssl3d.component import ComponentConfig
from ssl3d.plugin.registry import installed
from ssl3d.tasks.pretrain.spec import ExperimentSpec

LIBRARIES = ("torch", "lightning", "monai", "numpy", "nibabel", "ptwt", "pydantic", "blosc2")


def plugins_of(spec: ExperimentSpec) -> dict[str, str]:
    """`kind/name` of each component of a spec to the distribution and version it comes from."""
    configs: list[ComponentConfig] = [spec.backbone, spec.sparse_backend, spec.masker, *spec.losses]
    return {f"{config.kind}/{config.name}": origin(config) for config in configs}


def origin(config: ComponentConfig) -> str:
    """Distribution and version of a component, such as `ssl3d 0.1.0`."""
    entry = installed().entry(config.kind, name=config.name)
    return f"{entry.distribution} {entry.version}"


def environment(spec: ExperimentSpec, *, device: str) -> dict[str, Any]:
    """Plain values for `environment.json`.

    Args:
        spec: of the run; its components are listed with the distributions they come from.
        device: that the run computes on.
    """
    return {
        "ssl3d": ssl3d.__version__,
        "plugins": plugins_of(spec),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "device": device,
        "cuda": torch.version.cuda,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "command": sys.argv,
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
