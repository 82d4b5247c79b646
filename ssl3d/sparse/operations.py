"""What a sparse backend checks before it computes: the operation asked, and its result's stage."""

from __future__ import annotations

from torch import Tensor

from ssl3d.geometry import Operation, OperationKind, Triple, show
from ssl3d.sparse import SparseVolume
from ssl3d.sparse.backend_config import SparseBackendConfig


def convolution(
    x: SparseVolume,
    weight: Tensor,
    *,
    stride: Triple,
    padding: Triple,
    groups: int = 1,
    transposed: bool = False,
) -> Operation:
    """The operation that these arguments ask for.

    Args:
        x: input with I channels.
        weight: (O, I/groups, kz, ky, kx), or (I, O/groups, kz, ky, kx) when `transposed`.
        stride: factor between input and output sites.
        padding: dense zero padding.
        groups: groups of channels.
        transposed: the result has more sites, not fewer.

    Raises:
        ValueError: the weight does not fit the input's channels or the groups.
    """
    first, second, kz, ky, kx = weight.shape
    channels = (first, second * groups) if transposed else (second * groups, first)
    if channels[0] != x.channels or channels[0] % groups or channels[1] % groups:
        layout = "(I, O/groups, kz, ky, kx)" if transposed else "(O, I/groups, kz, ky, kx)"
        raise ValueError(
            f"a weight of shape {tuple(weight.shape)} with {groups} groups does not fit "
            f"{x.channels} input channels: it must be {layout}"
        )
    kind: OperationKind = "conv_transpose3d" if transposed else "conv3d"
    return Operation(kind, (kz, ky, kx), stride, padding, groups, channels)


def pooling(
    x: SparseVolume, *, kind: OperationKind, kernel: Triple, stride: Triple, padding: Triple
) -> Operation:
    """A pooling operation over the channels of `x`."""
    return Operation(kind, kernel, stride, padding, 1, (x.channels, x.channels))


def upsampling(x: SparseVolume, *, scale: Triple) -> Operation:
    """An interpolation of `x` to `scale` times as many sites."""
    return Operation("interpolate", scale, scale, channels=(x.channels, x.channels))


def result_stride(x: SparseVolume, op: Operation, *, config: SparseBackendConfig) -> Triple:
    """Voxels per site of the result of `op` on `x`.

    Raises:
        ValueError: the operation has no meaning on hidden cells, the library lacks it, or the
            cells of `x` cannot be divided (or refined) by its stride.
    """
    for problem in config.problems(op):
        why = problem.removeprefix(f"{op.describe()}: ")
        raise ValueError(f"sparse backend {config.name!r} cannot do {op.describe()}: {why}")
    if op.kind in ("conv_transpose3d", "interpolate"):
        if any(have % s for have, s in zip(x.stride, op.stride, strict=True)):
            raise ValueError(
                f"{op.describe()}: the input has {show(x.stride)} voxels per site, which cannot "
                f"be refined by {show(op.stride)}"
            )
    elif any(edge % s for edge, s in zip(x.edge, op.stride, strict=True)):
        raise ValueError(
            f"{op.describe()}: a cell has {show(x.edge)} sites here, which is no multiple of the "
            f"stride {show(op.stride)}: make the cell a multiple of the total stride"
        )
    return op.result_stride(x.stride)
