"""Volumes in, crops out: finding, reading, preparing, caching and sampling.

Importing this package loads neither torch nor MONAI: names are looked up on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl3d.data.bad import BadFilePolicy, BadFileRecord
    from ssl3d.data.batches import Batches
    from ssl3d.data.crops import CropDataset
    from ssl3d.data.data_error import BadVolume, DataError, DataWarning
    from ssl3d.data.files import find_sources
    from ssl3d.data.held_out_crops import HeldOutDataset
    from ssl3d.data.preparation import Prepared, prepare
    from ssl3d.data.sampler import ResumableSampler
    from ssl3d.data.source import Source
    from ssl3d.data.split import split_sources
    from ssl3d.data.store import VolumeStore
    from ssl3d.data.volumes import RunVolumes

_HOME = {
    "BadFilePolicy": "bad",
    "BadFileRecord": "bad",
    "BadVolume": "data_error",
    "Batches": "batches",
    "CropDataset": "crops",
    "DataError": "data_error",
    "DataWarning": "data_error",
    "HeldOutDataset": "held_out_crops",
    "Prepared": "preparation",
    "ResumableSampler": "sampler",
    "RunVolumes": "volumes",
    "Source": "files",
    "VolumeStore": "store",
    "find_sources": "files",
    "prepare": "preparation",
    "split_sources": "split",
}

__all__ = [
    "BadFilePolicy",
    "BadFileRecord",
    "BadVolume",
    "Batches",
    "CropDataset",
    "DataError",
    "DataWarning",
    "HeldOutDataset",
    "Prepared",
    "ResumableSampler",
    "RunVolumes",
    "Source",
    "VolumeStore",
    "find_sources",
    "prepare",
    "split_sources",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ssl3d.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ssl3d.data.{_HOME[name]}"), name)
