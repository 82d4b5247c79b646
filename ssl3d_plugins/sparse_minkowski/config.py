"""Options of the sparse backend `minkowski`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ssl3d.geometry import Operation
from ssl3d.sparse.backend_config import SparseBackendConfig


class Minkowski(SparseBackendConfig):
    """Operations that look past a cell by MinkowskiEngine 0.5.4 (MIT).

    Grouped convolution is depthwise only (its channelwise form). Computes in single precision
    under autocast, because it has no half precision on a CPU. What stays inside a cell (kernel =
    stride, interpolation) needs no library and is plain PyTorch.

    Install: `ssl3d install minkowski`, which builds it for this torch.
    """

    builds = "ssl3d_plugins.sparse_minkowski.library:load_backend"
    name: Literal["minkowski"] = "minkowski"

    def problems(self, op: Operation) -> Iterator[str]:
        """Groups other than depthwise, and some mixtures of kernels over the axes."""
        yield from op.problems()
        if op.inside_cells:
            return
        if op.groups > 1 and not (op.kind == "conv3d" and op.depthwise):
            yield f"{op.describe()}: MinkowskiEngine has depthwise groups in conv3d only"
        for k, s, p in zip(op.kernel, op.stride, op.padding, strict=True):
            if k == s and k > 1 and k % 2 == 1 and p == 0:
                yield (
                    f"{op.describe()}: MinkowskiEngine centres odd kernels, so kernel = stride = "
                    f"{k} on one axis only is not its to do"
                )
                return
