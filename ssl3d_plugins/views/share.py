"""How many of some parts are hidden. Imports no torch."""

from __future__ import annotations

import math


def hidden_count(share: float, *, among: int) -> int:
    """round(share · among), half-way cases up, but at least one and never all; 0 below two."""
    if among < 2:
        return 0
    return min(max(math.floor(round(share * among, 9) + 0.5), 1), among - 1)
