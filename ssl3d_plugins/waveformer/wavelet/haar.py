"""One level of the Haar transform with all its sub-bands, on channels-last boxes.

Sub-bands lie behind each other in the channels, in the order of their names: of three axes `aad`,
`ada`, `add`, `daa`, `dad`, `dda`, `ddd`; an axis that is not transformed is always `a`. Orthonormal
(Mallat 1989), with the signs of PyWavelets.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.geometry import Triple

HALF = 0.5**0.5


def analyse(boxes: Tensor, *, factor: Triple) -> tuple[Tensor, Tensor]:
    """Approximation and details of (M, d, h, w, C).

    Args:
        boxes: edges are multiples of `factor`.
        factor: 2 on the axes that are transformed, 1 on the others.

    Returns:
        (M, d', h', w', C), and (M, d', h', w', K·C) with K = 2^axes - 1 sub-bands.
    """
    bands = [boxes]
    for axis in transformed(factor):
        halves = (torch.unflatten(band, axis, (-1, 2)).unbind(axis + 1) for band in bands)
        bands = [one for a, b in halves for one in ((a + b) * HALF, (a - b) * HALF)]
    return bands[0], torch.cat(bands[1:], -1)


def synthesise(approximation: Tensor, details: Tensor, *, factor: Triple) -> Tensor:
    """Inverse of `analyse`."""
    bands = [approximation, *torch.split(details, approximation.shape[-1], -1)]
    for axis in reversed(transformed(factor)):
        bands = [
            torch.stack([(a + d) * HALF, (a - d) * HALF], axis + 1).flatten(axis, axis + 1)
            for a, d in zip(bands[::2], bands[1::2], strict=True)
        ]
    (boxes,) = bands
    return boxes


def transformed(factor: Triple) -> list[int]:
    """Which axes of channels-last boxes are."""
    return [axis for axis, f in enumerate(factor, start=1) if f == 2]
