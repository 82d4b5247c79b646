"""What a run ran on, one entry for each time that it was started."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

import ssl3d
from ssl3d.files import write_json
from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.origin import installed_version, plugins_of
from ssl3d.run.run_error import RunError

LIBRARIES = ("torch", "lightning", "monai", "numpy", "nibabel", "ptwt", "pydantic", "blosc2")


def environment(
    components: Iterable[ComponentConfig], *, device: str, step: int = 0, **chosen: Any
) -> dict[str, Any]:
    """Plain values for one start of a run.

    Args:
        components: of the run; they are listed with the distributions they come from.
        device: that the run computes on.
        step: that it goes on from.
        chosen: plain values that were decided on this machine, such as the precision.
    """
    components = tuple(components)
    about = {f"{c.kind}/{c.name}": c.about(device=device) for c in components}
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "host": platform.node(),
        "step": step,
        "ssl3d": ssl3d.__version__,
        "plugins": plugins_of(components),
        "components": {name: text for name, text in about.items() if text},
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "libraries": {name: installed_version(name) for name in LIBRARIES},
        "device": device,
        "cuda": torch.version.cuda,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "command": sys.argv,
        **chosen,
    }


def add_start(path: Path, entry: dict[str, Any]) -> list[str]:
    """Add the entry of a start to a run's `environment.json`, which is a list of them.

    Returns:
        A line for each component that computes otherwise than at the start before.

    Raises:
        RunError: the file that is there cannot be read.
    """
    starts = read_starts(path)
    write_json(path, [*starts, entry])
    before = starts[-1].get("components", {}) if starts else {}
    now = entry.get("components", {})
    return [
        f"{name} computes otherwise than at the last start, so results are equal to rounding and "
        f"not to the bit. Was {before[name]}. Is {now[name]}"
        for name in sorted(before.keys() & now.keys())
        if before[name] != now[name]
    ]


def read_starts(path: Path) -> list[dict[str, Any]]:
    """The entries of `environment.json`, the first start first; none where there is no file.

    Runs of older versions have one entry, of the last start, and no list.

    Raises:
        RunError: the file cannot be read.
    """
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read any more: {error}. Move it away and go on (--resume, "
            "resume=True): a new one begins then"
        ) from error
    return found if isinstance(found, list) else [found]
