"""The error of a norm that sees one site, which has no variance."""

from __future__ import annotations

from collections.abc import Sequence

from ssl3d.geometry import Triple, show


class OneSiteError(ValueError):
    """A norm takes its statistics from one visible site, which has no variance.

    Args:
        norm: such as "instance norm".
        of: what its statistics are of, such as "sample 0 of the batch".
        stride: voxels per site.
        counts: visible sites of each sample of the batch.
        advice: what else may be done.

    Attributes:
        sample: the place in the batch of the sample that shows the site; None where another rank
            holds it.
    """

    def __init__(
        self, norm: str, *, of: str, stride: Triple, counts: Sequence[int], advice: str
    ) -> None:
        self.sample = counts.index(1) if 1 in counts else None
        super().__init__(
            f"{norm} sees one visible site, at stride {show(stride)}, of {of}: one has no "
            "variance. Its other cells are hidden, or padding without data. Take a larger patch, "
            f"hide less, or {advice}"
        )
