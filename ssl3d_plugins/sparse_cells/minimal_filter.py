"""The matrices of minimal filtering: convolutions along one axis with the fewest products.

Winograd, "Arithmetic Complexity of Computations" (1980); in this form Lavin and Gray, "Fast
Algorithms for Convolutional Neural Networks" (2016), section 3.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from torch import Tensor

POINTS = (Fraction(0), Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2))
"""Where the polynomials are evaluated, infinity besides.

With these the errors of a 3³ convolution are twice those of the plain sum; with the usual 0, ±1, ±2
they are five times.
"""

KERNEL = 3
OUTPUTS = len(POINTS) + 2 - KERNEL
"""Neighbouring outputs that are computed together: 4, from 6 products in place of 12."""


class MinimalFilter(NamedTuple):
    """Outputs of inputs d under a kernel k: a · ((g · k) ∘ (b · d)).

    Attributes:
        a: (4, 6), from products to outputs.
        g: (6, 3), of the kernel.
        b: (6, 6), of the inputs.
    """

    a: Tensor
    g: Tensor
    b: Tensor


def minimal_filter(like: Tensor) -> MinimalFilter:
    """The matrices with the type and device of `like`."""
    return MinimalFilter(*map(like.new_tensor, _matrices()))


@functools.cache
def _matrices() -> tuple[list[list[float]], ...]:
    """Cook and Toom's product of polynomials, transposed; the last row or column is infinity."""
    others = [[q for q in POINTS if q != p] for p in POINTS]
    scale = [
        1 / math.prod((p - q for q in rest), start=Fraction(1))
        for p, rest in zip(POINTS, others, strict=True)
    ]
    a = [[p**j for p in POINTS] + [Fraction(j == OUTPUTS - 1)] for j in range(OUTPUTS)]
    g = [[s * p**j for j in range(KERNEL)] for s, p in zip(scale, POINTS, strict=True)]
    g.append([Fraction(j == KERNEL - 1) for j in range(KERNEL)])
    b = [[*_from_roots(rest), Fraction(0)] for rest in others] + [_from_roots(POINTS)]
    return tuple([[float(value) for value in row] for row in matrix] for matrix in (a, g, b))


def _from_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the polynomial with these roots, constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        lower, higher = [*coefficients, Fraction(0)], [Fraction(0), *coefficients]
        coefficients = [h - root * low for low, h in zip(lower, higher, strict=True)]
    return coefficients
