"""Training crops in which nothing can be hidden and restored are said, not only left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from ssl3d.run.metrics_file import Row


class EmptyCrops:
    """Remembers which crops were empty until a row says that there were some, and names the first:
    so no step asks the device.
    """

    def __init__(self) -> None:
        self._since_row: list[tuple[Sequence[str], Tensor]] = []
        self._said = False

    def add(self, sources: Sequence[str], *, empty: Tensor) -> None:
        """Take the crops of a micro-batch: where each came from, and (B,) bool."""
        if not self._said:
            self._since_row.append((sources, empty))

    def remarks(self, columns: Mapping[str, float]) -> Iterator[str]:
        """Say the first one, when a row counts it."""
        if "train/loss" not in columns and "train/empty_crops" not in columns:
            return
        fed, self._since_row = self._since_row, []
        if self._said or "train/empty_crops" not in columns:
            return
        self._said = True
        names = [
            s
            for sources, empty in fed
            for s, one in zip(sources, empty.tolist(), strict=True)
            if one
        ]
        of = names[0] if names else "a volume that another rank, or a CUDA graph, read"
        yield (
            f"In a crop of {of} nothing can be hidden and restored: too few of its voxels are "
            "data, or they have no contrast. Such crops count in no number; train/empty_crops "
            "says how many there are"
        )


def all_empty_crops(rows: Sequence[Row], *, crops: int) -> str | None:
    """What to say at the end of a run of so many training crops; None where there were none."""
    empty = int(sum(row.get("train/empty_crops", 0.0) for row in rows))
    if not empty:
        return None
    return (
        f"In {empty} of {crops} training crops nothing could be hidden and restored: they taught "
        "nothing and count in no mean (train/empty_crops in metrics.csv). A smaller data.patch, or "
        "a larger data.foreground.share, gives fewer"
    )
