"""How many channels an attention head may have. Imports no torch."""

from __future__ import annotations

PAIRS = 6
"""A head's channels are a multiple of this: a pair that turns, for each axis."""


def check_heads(width: int, heads: int) -> None:
    """Raise ValueError unless heads of whole pairs for each axis share out the width."""
    if width % (PAIRS * heads):
        raise ValueError(
            f"width {width} and {heads} heads: the channels of a head must be a multiple of "
            f"{PAIRS}, a pair for each axis. Give a width such as "
            f"{-(-width // (PAIRS * heads)) * PAIRS * heads}, or other heads"
        )


def usual_heads(width: int) -> int:
    """As many as leave each at least 66 channels, which gives Primus' own numbers; or one."""
    most = max(width // 66, 1)
    return next(n for n in range(most, 0, -1) if n == 1 or width % (PAIRS * n) == 0)
