"""Self-supervised pre-training of 3D medical imaging models that computes only what is visible.

Importing this package loads neither torch nor any plugin: names are looked up on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl3d.catalogue import components
    from ssl3d.encoder import load_encoder
    from ssl3d.plugins import hookimpl
    from ssl3d.spec import ExperimentSpec
    from ssl3d.train import pretrain

__version__ = "0.1.0"

__all__ = ["ExperimentSpec", "components", "hookimpl", "load_encoder", "pretrain"]

_HOME = {
    "ExperimentSpec": "ssl3d.spec",
    "components": "ssl3d.catalogue",
    "hookimpl": "ssl3d.plugins",
    "load_encoder": "ssl3d.encoder",
    "pretrain": "ssl3d.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ssl3d' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
