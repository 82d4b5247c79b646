"""Files among the volumes that look like label maps, which are no images to restore."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssl3d.data.data_error import BadVolume, DataWarning
from ssl3d.data.files import Source, stem
from ssl3d.data.scan import open_scan

_NAME = re.compile(r"seg|label|mask|annot|contour|ground.?truth|(?<![a-z])(gt|roi|lbl)(?![a-z])")
# Atlases of a brain have about a hundred labels; an image has more values in 8 bits.
_VALUES = 128
# Files that are looked into: enough to know a folder of labels by.
_LOOK = 10


def warn_of_label_maps(sources: Sequence[Source]) -> None:
    """Warn where samples are named like label maps and hold few whole numbers (`DataWarning`).

    At most ten of those that are so named are looked into.
    """
    named = [source for source in sources if _named_like_labels(source.files[0])]
    found = [source for source in named[:_LOOK] if _few_whole_numbers(source.files[0])]
    if found:
        warnings.warn(
            f"data: {len(named)} of {len(sources)} volumes are named like label maps, and "
            f"{len(found)} of {min(len(named), _LOOK)} that were looked into hold few whole "
            f"numbers, such as {found[0].name}: leave them out by data.exclude",
            DataWarning,
            stacklevel=2,
        )


def _named_like_labels(path: Path) -> bool:
    """True where the name of the file, or of its folder, is that of a label map."""
    return any(_NAME.search(name.lower()) for name in (stem(path), path.parent.name))


def _few_whole_numbers(path: Path) -> bool:
    try:
        values = np.unique(open_scan(path).voxels())
    except BadVolume:  # named when it is prepared
        return False
    whole = np.isfinite(values) & (values == np.round(values))
    return len(values) <= _VALUES and bool(whole.all())
