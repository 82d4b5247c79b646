"""Is spconv there, and is it a build that can be trusted?"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

BUILDS = 'pip install "ssl3d[spconv-cu126]" (or spconv-cu121); they also run without a GPU'


def spconv_distributions() -> list[str]:
    """Names of the installed distributions that bring the module `spconv`."""
    return importlib.metadata.packages_distributions().get("spconv", [])


def check_spconv(distributions: Iterable[str] | None = None) -> None:
    """Raise ModuleNotFoundError where spconv is absent, ImportError where it is the CPU wheel.

    The CPU wheel adds up in parallel without a lock, so that results differ between runs, and its
    backward pass calls CUDA.
    """
    found = set(spconv_distributions() if distributions is None else distributions)
    if not found:
        raise ModuleNotFoundError(f"sparse backend 'spconv' needs spconv 2.3.8: {BUILDS}")
    if "spconv" in found:
        raise ImportError(
            "the plain `spconv` wheel for CPUs is installed: with two threads or more its results "
            f"differ between runs. Run `pip uninstall spconv`, then {BUILDS}"
        )
