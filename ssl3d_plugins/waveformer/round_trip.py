"""The library behind the wavelet transforms gives back what it was given."""

from __future__ import annotations

TOLERANCE = 1e-10
"""Largest difference, in float64; the values are about 1."""

REPAIR = 'install ptwt again: python -m pip install --force-reinstall --no-deps "ptwt>=1.0.1"'


def round_trip(wavelet: str, *, level: int) -> str:
    """Analysis and synthesis of a random volume of 2 × 16 × 24 × 32."""
    import torch
    from ptwt.conv_transform_3 import wavedec3, waverec3

    generator = torch.Generator().manual_seed(0)
    volume = torch.randn(2, 16, 24, 32, generator=generator, dtype=torch.float64)
    parts = wavedec3(volume, wavelet, level=level, mode="zero")
    again = waverec3(parts, wavelet)
    # Longer filters leave a border behind the end of an axis.
    again = again[tuple(slice(size) for size in volume.shape)]
    error = float((again - volume).abs().max())
    if not error < TOLERANCE:
        raise AssertionError(f"off by {error:.1e}, allowed {TOLERANCE:.0e}")
    return f"{level} levels, off by {error:.1e}"
