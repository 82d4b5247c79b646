"""How slices of a volume in RAS orientation lie in the patient: planes, sides, sizes and places.

Pictures follow the radiological convention: the patient is seen from the feet and from the front,
so the patient's right is on the left of the picture, and from the left side, the face to the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Plane(NamedTuple):
    """A plane that fixes one of z, y, x; the other two are rows and columns.

    Attributes:
        name: of the plane.
        left, right, bottom, top: sides of the patient at the edges of the picture. Rows go up, and
            columns are drawn from the last to the first.
    """

    name: str
    left: str
    right: str
    bottom: str
    top: str


PLANES = (
    Plane("axial", "R", "L", "P", "A"),
    Plane("coronal", "R", "L", "I", "S"),
    Plane("sagittal", "A", "P", "I", "S"),
)
"""Planes that fix z, y and x: indices grow upwards, to the front and to the patient's right."""


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Size of a voxel in mm, (z, y, x), from the affine (4, 4) of (x, y, z, 1) indices."""
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0)
    return (float(z), float(y), float(x))


def place_in_patient(affine: NDArray[np.float64], voxel: Sequence[int]) -> str:
    """A voxel (z, y, x) in mm, each with its side: `12.0 mm R, 3.5 mm P, 40.1 mm S`."""
    point = affine @ np.array([*reversed(voxel), 1.0])
    sides = zip(point[:3], ("RL", "AP", "SI"), strict=True)
    return ", ".join(f"{abs(mm):.1f} mm {pair[0] if mm >= 0 else pair[1]}" for mm, pair in sides)
