"""Files among the volumes that look like label maps, which are no images to restore."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume, DataWarning
from ssl3d.data.files import stem
from ssl3d.data.scan import open_scan
from ssl3d.data.source import Source

_NAME = re.compile(r"seg|label|mask|annot|contour|ground.?truth|(?<![a-z])(gt|roi|lbl)(?![a-z])")
# Atlases of a brain have about a hundred labels; an image has more values in 8 bits.
_VALUES = 128
# So few are labels whatever the name of the file says.
_FEW = 16
# Files that are looked into: enough to know a folder of labels by.
_LOOK = 10


def warn_of_label_maps(sources: Sequence[Source]) -> None:
    """Warn where samples are named like label maps and hold few whole numbers (`DataWarning`).

    At most ten of those that are so named are looked into.
    """
    named = [source for source in sources if named_like_labels(source.files[0])]
    found = [source for source in named[:_LOOK] if few_whole_numbers(source.files[0])]
    if found:
        warnings.warn(
            f"data: {len(named)} of {len(sources)} volumes are named like label maps, and "
            f"{len(found)} of {min(len(named), _LOOK)} that were looked into hold few whole "
            f"numbers, such as {found[0].name}: leave them out by data.exclude",
            DataWarning,
            stacklevel=2,
        )


def named_like_labels(path: Path) -> bool:
    """True where the name of the file, or of its folder, is that of a label map."""
    return any(_NAME.search(name.lower()) for name in (stem(path), path.parent.name))


def few_whole_numbers(path: Path) -> bool:
    """True where the voxels are whole numbers, and few of them; they are read."""
    try:
        return whole_numbers(open_scan(path).voxels()) is not None
    except BadVolume:  # named when it is prepared
        return False


def label_like(path: Path, voxels: NDArray[Any]) -> str:
    """Why a file looks like a label map and not like an image; empty where it does not."""
    count = whole_numbers(voxels)
    if count is None:
        return ""
    if named_like_labels(path):
        return f"is named like a label map and holds {count} different whole numbers"
    return f"holds {count} different whole numbers" if count <= _FEW else ""


def whole_numbers(voxels: NDArray[Any]) -> int | None:
    """How many different whole numbers there are; None for more than 128 and for other numbers."""
    every = voxels.ravel(order="K")
    # A few voxels tell an image from labels; only what may be labels is sorted as a whole.
    for some in (every[:: max(1, every.size // 2**16)], every):
        values = np.unique(some)
        whole = np.isfinite(values) & (values == np.round(values))
        if len(values) > _VALUES or not whole.all():
            return None
    return len(values)
