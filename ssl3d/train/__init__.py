"""Pre-training runs: `pretrain` trains a spec and leaves a folder to judge it by.

Importing this package loads neither torch nor Lightning: names are looked up on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl3d.train.errors import RunError
    from ssl3d.train.run import pretrain
    from ssl3d.train.summary import ModelSummary, print_summary, summarise

_HOME = {
    "ModelSummary": "summary",
    "RunError": "errors",
    "RunResult": "result",
    "pretrain": "run",
    "print_summary": "summary",
    "summarise": "summary",
}

__all__ = ["ModelSummary", "RunError", "RunResult", "pretrain", "print_summary", "summarise"]

if TYPE_CHECKING:
    from ssl3d.train.result import RunResult


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ssl3d.train' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ssl3d.train.{_HOME[name]}"), name)
