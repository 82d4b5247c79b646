"""Names of wavelets."""

from __future__ import annotations

import difflib

from ssl3d.plugin.shown import shown


def is_haar(name: str) -> bool:
    """True for the Haar wavelet, which PyWavelets also calls db1."""
    return name in ("haar", "db1")


def check_wavelet(name: str) -> str:
    """The name, if PyWavelets has such a discrete wavelet and it can be inverted.

    Raises:
        ValueError: it has none, and the message suggests a near miss; or dmey.
    """
    if is_haar(name):
        return name
    import pywt  # here, so that the usual spec does not wait for NumPy

    known = pywt.wavelist(kind="discrete")
    if name == "dmey":
        raise ValueError(
            "dmey is cut off at 62 taps, so its inverse transform is off by about a hundredth and "
            "what attention leaves alone would change. Allowed: haar and all other discrete "
            "wavelets of PyWavelets, such as db2, sym4, coif1, bior2.2"
        )
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"unknown wavelet {shown(name)}.{hint} Allowed: haar and the discrete wavelets of "
        f"PyWavelets, such as db2, sym4, coif1, bior2.2"
    )
