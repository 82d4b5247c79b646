"""Options of the sparse backend `minkowski`."""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING, Literal

from ssl3d.geometry import Operation, undefined
from ssl3d.plugin.config import SparseBackendConfig

if TYPE_CHECKING:
    from ssl3d_plugins.sparse_minkowski.backend import MinkowskiBackend

_LOADER_SAYS = ("undefined symbol", "cannot open shared object file")
"""Of a compiled module that does not fit what else is installed."""


class Minkowski(SparseBackendConfig):
    """Operations that look past a cell by MinkowskiEngine 0.5.4 (MIT).

    Grouped convolution is depthwise only (its channelwise form). Computes in single precision
    under autocast, because it has no half precision on a CPU. What stays inside a cell (kernel =
    stride, interpolation) needs no library and is plain PyTorch.

    Install: `ssl3d install minkowski`, which builds it for this torch.
    """

    name: Literal["minkowski"] = "minkowski"

    def unsupported(self, op: Operation) -> str | None:
        """Groups other than depthwise, and some mixtures of kernels over the axes."""
        reason = undefined(op)
        if reason is not None or op.inside_cells:
            return reason
        if op.groups > 1 and not (op.kind == "conv3d" and op.depthwise):
            return f"{op.describe()}: MinkowskiEngine has depthwise groups in conv3d only"
        for k, s, p in zip(op.kernel, op.stride, op.padding, strict=True):
            if k == s and k > 1 and k % 2 == 1 and p == 0:
                return (
                    f"{op.describe()}: MinkowskiEngine centres odd kernels, so kernel = stride = "
                    f"{k} on one axis only is not its to do"
                )
        return None

    def build(self) -> MinkowskiBackend:
        """Make the backend; raises ImportError with what to install."""
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

        return MinkowskiBackend(self)
