"""Is spconv there, and is it a build that can be trusted?"""

from __future__ import annotations

import importlib.metadata

BUILDS = 'pip install "ssl3d[spconv-cu126]" (or spconv-cu121); they also run without a GPU'


def check_spconv() -> None:
    """Raise ModuleNotFoundError where spconv is absent, ImportError where it is the CPU wheel.

    The CPU wheel adds up in parallel without a lock, so that results differ between runs, and its
    backward pass calls CUDA.
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
