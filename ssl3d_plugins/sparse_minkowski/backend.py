"""The `minkowski` backend."""

from __future__ import annotations

import MinkowskiEngine
import torch
from MinkowskiEngineBackend._C import ConvolutionMode, PoolingMode
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple, product, quotient
from ssl3d.precision import as_autocast, at_least_single
from ssl3d.sparse import SparseVolume
from ssl3d.sparse.local import LocalBackend
from ssl3d_plugins.sparse_minkowski.maps import (
    Sites,
    kernel_generator,
    kernel_map,
    manager_of,
    sites_of,
)

MOST_VALUES = 2**31 - 1


class MinkowskiBackend(LocalBackend):
    """Shapes, and the errors raised, are those of `SparseBackend`."""

    def across(
        self, x: SparseVolume, op: Operation, weight: Tensor | None, bias: Tensor | None
    ) -> SparseVolume:
        """Everything by the library."""
        stride = op.result_stride(x.stride)
        _check_size(x, stride=stride, channels=max(op.channels))
        if weight is None:
            return self._pool(x, op=op, stride=stride)
        sites, weight = at_least_single(x.sites), at_least_single(weight)
        with torch.autocast(sites.device.type, enabled=False):
            if op.groups > 1:
                rows = self._depthwise(x, sites, weight, op=op, stride=stride)
            else:
                rows = self._full(x, sites, weight, op=op, stride=stride)
            if bias is not None:
                rows = rows + bias.to(rows.dtype)
        return x.with_features(as_autocast(rows), stride=stride)

    def _full(
        self, x: SparseVolume, sites: Tensor, weight: Tensor, *, op: Operation, stride: Triple
    ) -> Tensor:
        """All channels to all channels."""
        transposed = op.kind == "conv_transpose3d"
        function = (
            MinkowskiEngine.MinkowskiConvolutionTransposeFunction
            if transposed
            else MinkowskiEngine.MinkowskiConvolutionFunction
        )
        if transposed:
            weight = _centred(weight, op=op)
        source, target = _stages(x, stride)
        kz, ky, kx = weight.shape[2:]
        fine, coarse = (stride, x.stride) if transposed else (x.stride, stride)
        x.cells.table(kernel_map, fine=fine, coarse=coarse, kernel=(kz, ky, kx), pool=False)
        rows = function.apply(
            source.give(sites).contiguous(),
            _taps(weight, transposed=transposed),
            kernel_generator((kz, ky, kx), stride=op.stride),
            ConvolutionMode.DEFAULT,
            source.key,
            target.key,
            x.cells.table(manager_of),
        )
        return target.take(rows)

    def _depthwise(
        self, x: SparseVolume, sites: Tensor, weight: Tensor, *, op: Operation, stride: Triple
    ) -> Tensor:
        """Each channel by itself, over the library's kernel map, as its channelwise layer does."""
        source, target = _stages(x, stride)
        places = x.cells.table(
            kernel_map, fine=x.stride, coarse=stride, kernel=op.kernel, pool=False
        )
        taps = _taps(weight, transposed=False)[:, 0]
        given = source.give(sites)
        count = x.cells.n * product(quotient(x.cells.cell, stride))
        rows = sites.new_zeros(count, op.channels[1])
        for place, (i, o) in sorted(places.items()):
            rows = rows.index_add(0, o.long(), given.index_select(0, i.long()) * taps[place])
        return target.take(rows)

    def _pool(self, x: SparseVolume, *, op: Operation, stride: Triple) -> SparseVolume:
        """The library's maximum, or its sum over k³: its average divides by visible sites alone."""
        largest = op.kind == "max_pool3d"
        source, target = _stages(x, stride)
        x.cells.table(kernel_map, fine=x.stride, coarse=stride, kernel=op.kernel, pool=True)
        rows = MinkowskiEngine.MinkowskiLocalPoolingFunction.apply(
            source.give(at_least_single(x.sites)).contiguous(),
            PoolingMode.LOCAL_MAX_POOLING if largest else PoolingMode.LOCAL_SUM_POOLING,
            kernel_generator(op.kernel, stride=op.stride),
            source.key,
            target.key,
            x.cells.table(manager_of),
        )
        rows = target.take(rows).to(x.features.dtype)
        return x.with_features(rows if largest else rows / product(op.kernel), stride=stride)


def _stages(x: SparseVolume, stride: Triple) -> tuple[Sites, Sites]:
    """The sites of the input and those of a result at `stride`."""
    return x.cells.table(sites_of, stride=x.stride), x.cells.table(sites_of, stride=stride)


def _taps(weight: Tensor, *, transposed: bool) -> Tensor:
    """(K, I, O); the library counts places in a kernel with z fastest and x slowest."""
    first, second = weight.shape[:2]
    i, o = (first, second) if transposed else (second, first)
    order = (4, 3, 2, 0, 1) if transposed else (4, 3, 2, 1, 0)
    return weight.permute(order).reshape(-1, i, o).contiguous()


def _centred(weight: Tensor, *, op: Operation) -> Tensor:
    """Kernel 4, stride 2, padding 1 as a centred kernel of 5 whose first tap is zero."""
    pads = [
        (1, 0) if (k, s, p) == (4, 2, 1) else (0, 0)
        for k, s, p in zip(op.kernel, op.stride, op.padding, strict=True)
    ]
    return F.pad(weight, [n for pad in reversed(pads) for n in pad])


def _check_size(x: SparseVolume, *, stride: Triple, channels: int) -> None:
    """Raise ValueError where input or result (eight times the sites, where it refines) is large."""
    sites = x.cells.n * max(product(x.edge), product(quotient(x.cells.cell, stride)))
    if sites * channels > MOST_VALUES:
        raise ValueError(
            f"{sites} sites with {channels} channels: MinkowskiEngine counts with 32 bits, up to "
            f"{MOST_VALUES} values. Take a smaller batch or patch, or the backend 'cells'"
        )
