"""Where tables of measured times lie: the user's cache folder, one file for each machine's device.

A table counts for the device, the torch and the Triton that it was measured with.
"""

from __future__ import annotations

import functools
import json
import platform
import re
from collections.abc import Mapping
from pathlib import Path

import torch

from ssl3d.files import cache_root, write_json
from ssl3d.plugin.origin import installed_version
from ssl3d_plugins.sparse_cells.traced import constant_in_graphs
from ssl3d_plugins.sparse_cells.ways_table import WaysTable


def ways_folder() -> Path:
    """Where they are."""
    return cache_root() / "ways"


@constant_in_graphs
def device_name(device: torch.device) -> str:
    """What a table is found by: the name of a GPU, or of a CPU."""
    return _device_name(device)


@functools.cache
def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:  # not Linux
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def versions() -> dict[str, str | None]:
    """Of what a table depends on."""
    return {"torch": torch.__version__, "triton": installed_version("triton")}


def read_tables() -> Mapping[str, WaysTable]:
    """The tables that count here, by name of the device.

    Raises:
        ValueError: a file cannot be read.
    """
    tables = {}
    for path in sorted(ways_folder().glob("*.json")):
        table = _read(path)
        if table.versions.items() >= versions().items():
            tables[table.device] = table
    return tables


def write_table(table: WaysTable) -> Path:
    """Write it in place of an older one; gives where."""
    parts = (table.device, *(f"{name}-{table.versions[name]}" for name in versions()))
    path = ways_folder() / f"{re.sub(r'[^a-zA-Z0-9.+-]+', '_', '_'.join(parts))}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, table.to_plain())
    return path


def _read(path: Path) -> WaysTable:
    try:
        return WaysTable.from_plain(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}, the measured times of ways to convolve, cannot be read: "
            f"{type(error).__name__}: {error}. Remove it (ssl3d tune --clear), and measure again "
            "(ssl3d tune)"
        ) from error
