"""Is MinkowskiEngine there, and does it fit this torch? Says what to install where it does not."""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING

from ssl3d_plugins.sparse_minkowski.config import Minkowski

if TYPE_CHECKING:
    from ssl3d_plugins.sparse_minkowski.backend import MinkowskiBackend

_LOADER_SAYS = ("undefined symbol", "cannot open shared object file")
"""Of a compiled module that does not fit what else is installed."""


def load_backend(config: Minkowski) -> MinkowskiBackend:
    """Make the backend, once the library can be loaded.

    Raises:
        ModuleNotFoundError: it is absent.
        ImportError: it was built for something else than what is here.
    """
    if importlib.util.find_spec("MinkowskiEngine") is None:
        raise ModuleNotFoundError(
            "sparse backend 'minkowski' needs MinkowskiEngine 0.5.4, built for this torch: "
            "run `ssl3d install minkowski`"
        )
    with warnings.catch_warnings():
        # A build for CPUs says so at every import; `ssl3d doctor` is the place for that.
        warnings.filterwarnings("ignore", message="The MinkowskiEngine was compiled with CPU")
        try:
            from ssl3d_plugins.sparse_minkowski.backend import MinkowskiBackend
        except ImportError as error:
            if not any(said in str(error) for said in _LOADER_SAYS):
                raise
            raise ImportError(
                "sparse backend 'minkowski': MinkowskiEngine is installed, but it was built "
                "for another torch than the one that is here now, or without the OpenBLAS "
                f"that it needs (Debian, Ubuntu: libopenblas0): {error}. "
                "Run `ssl3d install minkowski`"
            ) from error
    return MinkowskiBackend(config)
