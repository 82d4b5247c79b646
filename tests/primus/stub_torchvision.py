"""A stand-in for torchvision, which has no build for a CPU here and which no Primus calls.

timm imports it from many modules; each name that is asked for is an empty class.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Named(type):
    """Of classes in which every name is that name."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class Stub(ModuleType):
    """A module in which every name is a class."""

    __path__: Sequence[str] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Named(name, (), {})


class Stubs(MetaPathFinder, Loader):
    """Finds every module of the package."""

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        inside = name.split(".")[0] == "torchvision"
        return ModuleSpec(name, self, is_package=True) if inside else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Stub(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


sys.meta_path.insert(0, Stubs())
