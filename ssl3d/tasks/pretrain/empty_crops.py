"""Training crops in which nothing can be hidden and restored are said, not only left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from ssl3d.run.callback import RunCallback
from ssl3d.run.metrics_file import Row
from ssl3d.tasks.pretrain.module import PretrainModule


class EmptyCrops(RunCallback[PretrainModule]):
    """Warns of the first one; `Metrics` counts them all.

    Args:
        warn: takes a line for the user.
    """

    def __init__(self, *, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._said = False

    def after_micro_batch(self, module: PretrainModule, outputs: Mapping[str, Tensor]) -> None:  # noqa: ARG002
        """Look for one until it is found."""
        if self._said:
            return
        for source, empty in zip(module.sources, module.empty.tolist(), strict=True):
            if empty:
                self._said = True
                self._warn(
                    f"Step {module.step}: in a crop of {source} nothing can be hidden and "
                    "restored: too few of its voxels are data, or they have no contrast. Such "
                    "crops count in no number; train/empty_crops says how many there are"
                )
                return


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
