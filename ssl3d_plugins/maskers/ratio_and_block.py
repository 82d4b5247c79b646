"""Types of the maskers' options: shares of blocks, and sizes of blocks. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from ssl3d.geometry import Triple
from ssl3d.plugin.shown import shown

# Both types are checked by one function each: a union would report one error for each member.


def _ratio(value: Any) -> float | tuple[float, float]:
    parts = value if isinstance(value, list | tuple) else [value]
    try:
        shares = [float(part) for part in parts]
    except (TypeError, ValueError):
        shares = []
    if any(not 0 < share < 1 for share in shares) or shares != sorted(shares):
        shares = []
    if len(shares) == 1 and not isinstance(value, list | tuple):
        return shares[0]
    if len(shares) == 2:
        return (shares[0], shares[1])
    raise ValueError(
        f"{shown(value)} is not a ratio: give a share above 0 and below 1, such as 0.6, or a range "
        "of two such shares, the lower first, such as (0.6, 0.9)"
    )


def _block(value: Any) -> Literal["auto"] | Triple:
    if value == "auto":
        return "auto"
    edges = value if isinstance(value, list | tuple) else [value] * 3
    whole = [e for e in edges if isinstance(e, int) and not isinstance(e, bool) and e >= 1]
    if len(edges) == len(whole) == 3:
        return (whole[0], whole[1], whole[2])
    raise ValueError(
        f'{shown(value)} is not a block: give "auto", one whole number of cells from 1 for all '
        "axes, or three of them in the order z, y, x"
    )


_SHARE = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
_EDGE = {"type": "integer", "minimum": 1}

Ratio = Annotated[
    float | tuple[float, float],
    BeforeValidator(_ratio),
    WithJsonSchema(
        {"anyOf": [_SHARE, {"type": "array", "items": _SHARE, "minItems": 2, "maxItems": 2}]}
    ),
]
"""A share between 0 and 1, or a range from which one share is drawn for each batch."""

Block = Annotated[
    Literal["auto"] | Triple,
    BeforeValidator(_block),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "auto"},
                _EDGE,
                {"type": "array", "items": _EDGE, "minItems": 3, "maxItems": 3},
            ]
        }
    ),
]
"""Cells that are hidden together, per axis, or `auto`."""
