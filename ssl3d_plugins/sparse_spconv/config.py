"""Options of the sparse backend `spconv`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ssl3d.geometry import Operation
from ssl3d.sparse.backend_config import SparseBackendConfig


class Spconv(SparseBackendConfig):
    """Convolutions that look past a cell by spconv 2.3 (Apache-2.0), with its native algorithm.

    It lacks grouped convolution. Computes in single precision under autocast. What stays inside a
    cell (kernel = stride, interpolation) needs no library and is plain PyTorch, and so is padded
    pooling: spconv's maximum never falls below 0 and it has no average on a CPU.

    Install: `pip install "ssl3d[spconv-cu126]"` or `"ssl3d[spconv-cu121]"`; both also run without
    a GPU. The plain `spconv` wheel is refused: its results differ between runs.
    """

    builds = "ssl3d_plugins.sparse_spconv.library:load_backend"
    name: Literal["spconv"] = "spconv"

    def problems(self, op: Operation) -> Iterator[str]:
        """Grouped convolution, beside what has no meaning on hidden cells."""
        yield from op.problems()
        if op.groups > 1 and not op.inside_cells:
            yield f"{op.describe()}: spconv has no grouped convolution"
