"""NumPy's files, which hold voxels and nothing of where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume
from ssl3d.data.scan import Scan


def open_file(path: Path) -> Scan:
    """See `open_scan`; an array's axes are z, y, x, as everywhere here."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise BadVolume(path, "its voxels are not one number each")
    shape = tuple(reversed(array.shape))

    def read() -> NDArray[Any]:
        voxels: NDArray[Any] = np.load(path, allow_pickle=False)
        return voxels.transpose()

    note = "gives no geometry: its axes are taken as z, y, x, from below, back and left, of 1 mm"
    return Scan(path, shape, np.eye(4), (note,), read)
