"""What an encoder can take: says what is wrong before a layer deep inside fails on it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ssl3d.geometry import Triple, divides, show
from ssl3d.sparse.volume import SparseVolume


def check_volume(volume: Any, *, channels: int | None, multiple: Triple) -> None:
    """Raise ValueError unless an encoder can take `volume`.

    Args:
        volume: (B, C, D, H, W), or its visible cells.
        channels: C; None: any.
        multiple: what D, H and W, or the edges of a cell, must be multiples of, in voxels.
    """
    if isinstance(volume, SparseVolume):
        what, values, given, size = "cell", volume.features, volume.channels, volume.cells.cell
    elif not isinstance(volume, Tensor):
        raise ValueError(
            f"volume is a {type(volume).__name__}; must be a tensor (B, C, D, H, W), as "
            "torch.from_numpy makes it, or a SparseVolume"
        )
    elif volume.dim() != 5:
        raise ValueError(
            f"volume has shape {tuple(volume.shape)}; must be (B, C, D, H, W): volume[None] adds "
            "an axis in front"
        )
    else:
        what, values, given = "volume", volume, volume.shape[1]
        size = (volume.shape[2], volume.shape[3], volume.shape[4])
    if not values.is_floating_point():
        raise ValueError(f"volume is of {values.dtype}; must be floating point: volume.float()")
    if isinstance(volume, Tensor) and not len(volume):
        raise ValueError(f"volume has shape {tuple(volume.shape)}: there is no volume in the batch")
    if channels is not None and given != channels:
        raise ValueError(f"volume has {given} channels; this encoder was built for {channels}")
    if not divides(multiple, size):
        raise ValueError(
            f"{what} of {show(size)} voxels; each edge must be a multiple of {show(multiple)}, "
            f"such as {show(_next(size, multiple))}: crop or pad the volume"
        )


def _next(size: Triple, multiple: Triple) -> Triple:
    """The smallest allowed size from `size` upwards."""
    z, y, x = (max(-(-s // m), 1) * m for s, m in zip(size, multiple, strict=True))
    return (z, y, x)
