"""The full wavelet transform, with any wavelet and a level for each axis, by ptwt.

Order and names of the sub-bands are those of PyWavelets: `a` for approximation, `d` for detail,
one letter for each axis that is transformed, in the order z, y, x. An axis stops at its own level:
the reference is `pywt.dwtn` over the axes that remain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pywt
import torch
from ptwt.constants import WaveletDetailTuple2d
from ptwt.conv_transform import wavedec, waverec
from ptwt.conv_transform_2 import wavedec2, waverec2
from ptwt.conv_transform_3 import wavedec3, waverec3
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d.precision import at_least_single, no_autocast
from ssl3d_plugins.waveformer.levels import axes_at

Bands = dict[str, Tensor]

SHORT = 4
"""Taps up to which one convolution over all axes is faster than one after another: at 48 channels
of 32³ on a CPU 5 times with haar and 2 times with db2, and 4 times slower with sym4."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """A volume in the wavelet domain.

    Attributes:
        approximation: (..., d, h, w), the coarsest.
        details: for each level, coarsest first, its sub-bands by name; the names have as many
            letters as the level has axes: `daa` is the detail along z of three axes, `da` the one
            along the first of two.
        sizes: (d, h, w) of what each level was made from, coarsest first.
        levels: levels of each axis.
        wavelet: a name of PyWavelets.
    """

    approximation: Tensor
    details: tuple[Bands, ...]
    sizes: tuple[torch.Size, ...]
    levels: Triple
    wavelet: str

    @property
    def scale(self) -> float:
        """The approximation of a constant volume of ones is about 1 / scale: 2^(-levels/2)."""
        return float(2 ** (-sum(self.levels) / 2))


def decompose(volume: Tensor, *, levels: Triple, wavelet: str = "haar") -> Decomposition:
    """Transform the last three axes, with zeros outside (mode `zero`).

    Args:
        volume: (..., d, h, w); leading axes are a batch. Half precision is computed in single.
        levels: levels of each axis, (z, y, x).
        wavelet: a discrete wavelet of PyWavelets.
    """
    details: list[Bands] = []
    sizes: list[torch.Size] = []
    with no_autocast(volume):
        rest = at_least_single(volume)
        for depth in range(1, max(levels) + 1):
            sizes.append(rest.shape[-3:])
            bands = _analyse(rest, axes=axes_at(levels, depth), wavelet=wavelet)
            rest = bands.pop("a" * len(axes_at(levels, depth)))
            details.append({name: band.to(volume.dtype) for name, band in bands.items()})
    return Decomposition(
        rest.to(volume.dtype), tuple(reversed(details)), tuple(reversed(sizes)), levels, wavelet
    )


def reconstruct(bands: Decomposition) -> Tensor:
    """Inverse of `decompose`, in the dtype of the approximation."""
    dtype = bands.approximation.dtype
    depth = len(bands.details)
    with no_autocast(bands.approximation):
        rest = at_least_single(bands.approximation)
        for details, (d, h, w) in zip(bands.details, bands.sizes, strict=True):
            precise = {name: at_least_single(band) for name, band in details.items()}
            rest = _synthesise(
                rest, precise, axes=axes_at(bands.levels, depth), wavelet=bands.wavelet
            )
            rest = rest[..., :d, :h, :w]  # an odd edge was padded by one site
            depth -= 1
    return rest.to(dtype)


def _analyse(x: Tensor, *, axes: tuple[int, ...], wavelet: str) -> Bands:
    """One level over some of the last three axes."""
    last: Any = tuple(axis - 3 for axis in axes)
    found: Any
    filters = _filters(wavelet, like=x)
    if len(axes) == 1 or len(filters[0]) > SHORT:
        return _axis_by_axis(x, axes=last, filters=filters)
    if len(axes) == 3:
        found = wavedec3(x, filters, mode="zero", level=1, axes=last)
        return {"aaa": found[0], **found[1]}
    found = wavedec2(x, filters, mode="zero", level=1, axes=last)
    return dict(zip(("aa", "da", "ad", "dd"), (found[0], *found[1]), strict=True))


def _axis_by_axis(x: Tensor, *, axes: tuple[int, ...], filters: Any) -> Bands:
    """The same as products of filters along one axis, which long ones need to be affordable."""
    bands = {"": x}
    for axis in axes:
        halves = {
            name: wavedec(band, filters, mode="zero", level=1, axis=axis)
            for name, band in bands.items()
        }
        bands = {name + "ad"[i]: half[i] for name, half in halves.items() for i in range(2)}
    return bands


def _synthesise(rest: Tensor, bands: Bands, *, axes: tuple[int, ...], wavelet: str) -> Tensor:
    """Inverse of `_analyse`."""
    last: Any = tuple(axis - 3 for axis in axes)
    filters = _filters(wavelet, like=rest)
    if len(axes) == 1 or len(filters[0]) > SHORT:
        joined = {"a" * len(axes): rest, **bands}
        for axis in reversed(last):
            names = dict.fromkeys(name[:-1] for name in joined)
            joined = {
                name: waverec([joined[name + "a"], joined[name + "d"]], filters, axis=axis)
                for name in names
            }
        return joined[""]
    if len(axes) == 3:
        return waverec3((rest, bands), filters, axes=last)
    details = WaveletDetailTuple2d(bands["da"], bands["ad"], bands["dd"])
    return waverec2((rest, details), filters, axes=last)


def _filters(wavelet: str, *, like: Tensor) -> Any:
    """The four filters where `like` is, as ptwt takes them.

    Tap by tap they are made there; from a name, ptwt copies them from the host at every call.
    """
    bank = pywt.Wavelet(wavelet).filter_bank
    return tuple(torch.cat([like.new_full((1,), tap) for tap in taps]) for taps in bank)
