"""A base of sparse backends that only have to do what looks past a cell."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

from torch import Tensor

from ssl3d.geometry import Operation, Triple, product, quotient
from ssl3d.precision import as_autocast
from ssl3d.sparse import SparseVolume, inside
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.sparse.nothing import touching
from ssl3d.sparse.operations import convolution, pooling, result_stride, upsampling
from ssl3d.sparse.volume import NONE, ONE, SparseBackend


class LocalBackend(SparseBackend):
    """Checks every operation, does what stays inside a cell, and asks `across` for the rest.

    Shapes, and the errors raised, are those of `SparseBackend`. Subclasses write `across` alone.
    """

    config: SparseBackendConfig

    @abstractmethod
    def across(
        self, x: SparseVolume, op: Operation, weight: Tensor | None, bias: Tensor | None
    ) -> SparseVolume:
        """A convolution or pool whose kernel looks past a cell.

        The operation was checked: the config supports it, the weight fits, the cells divide.

        Args:
            x: (N, e…, I) features of N visible cells, one or more: some libraries end the process
                on none.
            op: what to compute; its padding is (k - 1) / 2, or 1 for a transposed kernel of 4.
            weight: in torch layout (see `SparseBackend`), None for a pool.
            bias: (O,) or None.

        Returns:
            (N, e'…, O) contiguous at the stride `op.result_stride(x.stride)`, under autocast a
            convolution in its precision. `ssl3d.sparse.pool.pool` is a pool in plain torch.
        """

    @final
    def conv3d(
        self,
        x: SparseVolume,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        stride: Triple = ONE,
        padding: Triple = NONE,
        groups: int = 1,
    ) -> SparseVolume:
        """Convolution."""
        op = convolution(x, weight, stride=stride, padding=padding, groups=groups)
        return self._apply(x, op, weight, bias)

    @final
    def conv_transpose3d(
        self,
        x: SparseVolume,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        stride: Triple = ONE,
        padding: Triple = NONE,
        groups: int = 1,
    ) -> SparseVolume:
        """Transposed convolution."""
        op = convolution(x, weight, stride=stride, padding=padding, groups=groups, transposed=True)
        return self._apply(x, op, weight, bias)

    @final
    def max_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Maximum over visible sites."""
        op = pooling(x, kind="max_pool3d", kernel=kernel, stride=stride, padding=padding)
        return self._apply(x, op)

    @final
    def avg_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Sum over visible sites divided by the sites of the kernel."""
        op = pooling(x, kind="avg_pool3d", kernel=kernel, stride=stride, padding=padding)
        return self._apply(x, op)

    @final
    def interpolate(self, x: SparseVolume, *, scale: Triple) -> SparseVolume:
        """Up-sampling of each cell by itself."""
        return self._apply(x, upsampling(x, scale=scale))

    def _apply(
        self,
        x: SparseVolume,
        op: Operation,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> SparseVolume:
        stride = result_stride(x, op, config=self.config)
        if op.inside_cells:
            return x.with_features(inside.apply(x.features, op, weight, bias), stride=stride)
        if not x.cells.n:
            return _nothing(x, op, weight, bias)
        return self.across(x, op, weight, bias)


def _nothing(
    x: SparseVolume, op: Operation, weight: Tensor | None, bias: Tensor | None
) -> SparseVolume:
    """The result where no cell is visible: no site, and a gradient of zeros for all that it had."""
    stride = op.result_stride(x.stride)
    sites = product(quotient(x.cells.cell, stride)) * x.cells.n
    rows = x.features.new_zeros(sites, op.channels[1])
    empty = touching(rows, x.features, weight, bias)
    return x.with_features(empty if weight is None else as_autocast(empty), stride=stride)
