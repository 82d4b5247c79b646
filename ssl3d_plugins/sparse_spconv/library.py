"""Is spconv there, and is it a build that can be trusted?"""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl3d_plugins.sparse_spconv.backend import SpconvBackend
    from ssl3d_plugins.sparse_spconv.config import Spconv

BUILDS = 'pip install "ssl3d[spconv-cu126]" (or spconv-cu121); they also run without a GPU'
REPAIR = (
    'python -m pip install --force-reinstall --no-deps "spconv-cu121" (or -cu126, for CUDA 12.6 to '
    "12.9)"
)


def load_backend(config: Spconv) -> SpconvBackend:
    """Make the backend, once the library can be trusted; raises what `trusted_builds` raises."""
    trusted_builds()
    from ssl3d_plugins.sparse_spconv.backend import SpconvBackend

    return SpconvBackend(config)


def installed_build() -> str:
    """The build, for `ssl3d doctor`; raises NotThere where there is none, and ImportError."""
    from ssl3d.doctor.check import NotThere

    try:
        builds = trusted_builds()
    except ModuleNotFoundError as error:
        raise NotThere("optional: it is not installed", advice=str(error)) from error
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in builds)


def trusted_builds() -> list[str]:
    """The distributions of spconv that are installed.

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
    return found
