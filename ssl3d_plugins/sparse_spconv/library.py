"""Is spconv there, and is it a build that can be trusted?"""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

from ssl3d_plugins.sparse_spconv.config import Spconv

if TYPE_CHECKING:
    from ssl3d_plugins.sparse_spconv.backend import SpconvBackend

BUILDS = 'pip install "ssl3d[spconv-cu126]" (or spconv-cu121); they also run without a GPU'


def load_backend(config: Spconv) -> SpconvBackend:
    """Make the backend, once the library can be trusted.

    The CPU wheel adds up in parallel without a lock, so that results differ between runs, and its
    backward pass calls CUDA.

    Raises:
        ModuleNotFoundError: spconv is absent.
        ImportError: it is the CPU wheel.
    """
    found = sorted(set(importlib.metadata.packages_distributions().get("spconv", [])))
    if not found:
        raise ModuleNotFoundError(f"sparse backend 'spconv' needs spconv 2.3.8: {BUILDS}")
    if "spconv" in found:
        # All of them: builds share their files, so that removing one leaves the others in part.
        every = [name.replace("spconv", part) for part in ("spconv", "cumm") for name in found]
        raise ImportError(
            "the plain `spconv` wheel for CPUs is installed: with two threads or more its results "
            f"differ between runs. Run `pip uninstall {' '.join(every)}`, then {BUILDS}"
        )
    from ssl3d_plugins.sparse_spconv.backend import SpconvBackend

    return SpconvBackend(config)
