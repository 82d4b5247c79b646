"""An image and its label map, prepared together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume
from ssl3d.data.labelled.label_map import read_labels
from ssl3d.data.labelled.truth import LabelMap
from ssl3d.data.preparation import Prepared, prepare
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.streams import Stream, generator

POINTS = 512
"""Of each class, at most: a crop is centred on one of them, and has a quarter of a patch of play.
"""


def prepare_labelled(source: Source, *, spec: DataSpec, truth: LabelMap) -> Prepared:
    """The image by `prepare`, and the class of each voxel as its last channel.

    Classes are counted from 0 in the order of `truth.values`; NaN where there is none: the ignore
    label, and what lies outside of the scan. Points are (n, 4), z, y, x and class, of classes above
    0.

    Args:
        source: the files of the image, then the label map.
        spec: how the image is prepared.
        truth: the labels.

    Raises:
        BadVolume: the image or its labels cannot be used.
    """
    image, label = replace(source, files=source.files[:-1]), source.files[-1]
    values = prepare(image, spec=spec).values
    known = {*truth.values, *([] if truth.ignore is None else [truth.ignore])}
    labels = read_labels(image, label, spacing=spec.spacing, values=known)
    if labels.shape != values.shape[1:]:
        raise BadVolume(label, f"{labels.shape} voxels, but its image has {values.shape[1:]}")
    classes = classes_of(labels, truth=truth)
    points = [_some_points(classes, number=number) for number in range(1, len(truth.values))]
    return Prepared(np.concatenate([values, classes[None]]), points=np.concatenate(points))


def classes_of(labels: NDArray[np.float32], *, truth: LabelMap) -> NDArray[np.float32]:
    """Classes from 0 in place of the values of a label map; NaN for the ignore label."""
    classes = np.full_like(labels, np.nan)
    for number, value in enumerate(truth.values):
        classes[labels == value] = number
    return classes


def _some_points(classes: NDArray[np.float32], *, number: int) -> NDArray[np.int32]:
    """Voxels of a class, alike in all runs."""
    flat = np.flatnonzero(classes == number)
    random = generator(0, Stream.POINTS, number)
    flat = flat[torch.randperm(len(flat), generator=random)[:POINTS].numpy()]
    places = np.unravel_index(flat, classes.shape)
    return np.stack([*places, np.full(len(flat), number)], axis=1).astype(np.int32)
