"""Labelled crops, prepared as the volumes of pre-training are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ssl3d.data import BadVolume, DataError, Prepared, Source, find_sources, prepare, split_sources
from ssl3d.data.box import around, cut
from ssl3d.data.crops import as_sample
from ssl3d.data.labelled.label_map import read_labels
from ssl3d.data.spec import DataSpec
from ssl3d.data.store import MemoryVolume
from ssl3d.measure.spec import ProbeSpec


@dataclass(frozen=True, eq=False)
class LabelledCrop:
    """One crop of the spec's patch, centred on what is labelled.

    Attributes:
        volume: (C, D, H, W), 0 where not valid.
        valid: (D, H, W) bool.
        labels: (D, H, W) long.
    """

    volume: Tensor
    valid: Tensor
    labels: Tensor


def labelled_crops(
    spec: ProbeSpec,
    *,
    data: DataSpec,
    folder: Path | None = None,
    left_out: Callable[[Source, BadVolume], None] | None = None,
) -> tuple[list[LabelledCrop], list[LabelledCrop]]:
    """(crops to fit on, crops to test on), one a volume; no group is on both sides.

    Args:
        spec: what is labelled.
        data: how volumes are prepared.
        folder: where `group_by` sees paths from, see `group_of`.
        left_out: takes each volume that cannot be used, and the next of its side takes its place;
            without it such a volume is an error.

    Raises:
        DataError: a file is missing or cannot be used, or there are fewer than two groups.
    """
    try:
        return _read(spec, data=data, folder=folder, left_out=left_out)
    except DataError as error:
        raise DataError(f"probe: {error}") from error


def _read(
    spec: ProbeSpec,
    *,
    data: DataSpec,
    folder: Path | None,
    left_out: Callable[[Source, BadVolume], None] | None,
) -> tuple[list[LabelledCrop], list[LabelledCrop]]:
    both = spec.data(data)
    grouped = both.model_copy(update={"holdout": spec.test})
    fit, test = split_sources(find_sources(both), spec=grouped, folder=folder)
    if not fit or not test:
        raise DataError(
            f"{len(fit) + len(test)} labelled volumes in one group: two groups are needed, "
            "to fit on one and test on the other"
        )
    share = len(test) / (len(fit) + len(test))
    testing = min(max(1, round(spec.volumes * share)), spec.volumes - 1)
    read = (
        _first_usable(part, number=number, data=both, left_out=left_out)
        for part, number in ((fit, spec.volumes - testing), (test, testing))
    )
    return next(read), next(read)


def _first_usable(
    sources: Sequence[Source],
    *,
    number: int,
    data: DataSpec,
    left_out: Callable[[Source, BadVolume], None] | None,
) -> list[LabelledCrop]:
    """Crops of the first `number` volumes that can be used."""
    crops: list[LabelledCrop] = []
    problems: list[str] = []
    for source in sources:
        if len(crops) == number:
            break
        try:
            crops.append(_crop(source, data=data))
        except BadVolume as error:
            if left_out is None:
                raise
            left_out(source, error)
            problems.append(str(error))
    if not crops:
        raise DataError(
            f"none of the {len(sources)} labelled volumes of one side can be used: "
            + "\n  ".join(problems)
        )
    return crops


def _crop(source: Source, *, data: DataSpec) -> LabelledCrop:
    """The crop around the middle of what is labelled."""
    images = replace(source, files=source.files[:-1])
    whole = data.foreground.model_copy(update={"margin": None})  # the label map is whole
    prepared = prepare(images, spec=data.model_copy(update={"foreground": whole}))
    # What lies outside of the scan has no label.
    labels = np.nan_to_num(read_labels(images, source.files[-1], spacing=data.spacing))
    if labels.shape != prepared.values.shape[1:]:
        raise BadVolume(
            source.files[-1].as_posix(),
            f"{labels.shape} voxels, but its image has {prepared.values.shape[1:]}",
        )
    marked = np.argwhere(labels > 0)
    middle = np.array(labels.shape) // 2
    if len(marked):
        middle = (marked.min(0) + marked.max(0) + 1) // 2
    corner = around(middle, edges=labels.shape, patch=data.patch)
    sample = as_sample(
        cut(MemoryVolume(prepared), corner=corner, patch=data.patch), index=0, source=images
    )
    floats = Prepared(values=labels[None], points=prepared.points)
    cropped = np.nan_to_num(cut(MemoryVolume(floats), corner=corner, patch=data.patch)[0])
    return LabelledCrop(sample["volume"], sample["valid"], torch.from_numpy(cropped).long())
