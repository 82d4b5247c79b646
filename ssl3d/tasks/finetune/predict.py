"""One case from its prepared volume to what is written of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import nibabel
import numpy as np
import torch
from torch import Tensor

from ssl3d.files import scratch_folder
from ssl3d.geometry import Triple
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.tasks.finetune.averaged import mean_of_all
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.predicted import (
    OnGrid,
    kept_map,
    restored_classes,
    write_image,
    write_segmentation,
)
from ssl3d.tasks.finetune.sliding import at_least, box_of, predicted_slabs, window_corners
from ssl3d.tasks.finetune.window_spec import WindowSpec


def predict_map(
    models: Sequence[FinetuneModel],
    prepared: OnGrid,
    *,
    patch: Triple,
    windows: WindowSpec,
    file: Path,
    done: Callable[[int, int], None] | None = None,
) -> None:
    """Predict each voxel and write the map: label values with their names beside it, or numbers.

    Probabilities lie in a file beside the result while it is made, 2 · K bytes a voxel, so that
    memory does not grow with the number of labels.

    Args:
        models: in evaluation mode, of one task on voxels.
        prepared: the case.
        patch: size of a window.
        windows: overlap, mirroring, precision.
        file: to write, .nii.gz or .nii, whole or not at all.
        done: told how many windows of how many are done.
    """
    task, config = models[0].task, config_of(models)
    slabs = predicted_slabs(
        models, prepared.volume, patch=patch, windows=windows, valid=prepared.valid, done=done
    )
    depth, height, width = prepared.volume.shape[1:]
    with scratch_folder(file) as folder:
        kept = kept_map(
            slabs,
            outputs=len(config.outputs()),
            size=(depth, height, width),
            file=folder / "probabilities",
        )
        if config.legend():
            classes = restored_classes(kept, prepared=prepared)
            affine = prepared.source_affine
            write_segmentation(file, classes, affine=affine, legend=config.legend())
        else:
            decided = task.decided(kept.float())
            values, affine = prepared.restore(decided, mode="bilinear", fill=float("nan"))
            write_image(file, nibabel.Nifti1Image(values.astype(np.float32), affine))


def predict_outputs(
    models: Sequence[FinetuneModel],
    prepared: OnGrid,
    *,
    patch: Triple,
    windows: WindowSpec,
) -> Tensor:
    """Predict a case as a whole: (K,), from all windows of its volume that show anything.

    Args:
        models: in evaluation mode, of one task on cases.
        prepared: the case.
        patch: size of a window.
        windows: overlap, mirroring, precision.
    """
    config_of(models)
    volume, valid, _ = at_least(prepared.volume, valid=prepared.valid, patch=patch)
    assert valid is not None
    depth, height, width = volume.shape[1:]
    corners = window_corners((depth, height, width), patch=patch, overlap=windows.overlap)
    boxes = [box_of(corner, patch=patch) for corner in corners]
    boxes = [box for box in boxes if valid[box].any()] or boxes[:1]

    def parts(axes: list[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Cut when they are due: windows that overlap are many times the volume."""
        for at in range(0, len(boxes), windows.batch):
            some = boxes[at : at + windows.batch]
            crops = torch.stack([volume[:, *box] for box in some])
            yield crops.flip(axes), torch.stack([valid[box] for box in some]).flip(axes)

    def one(model: FinetuneModel, axes: list[int]) -> Tensor:
        return model.predict_parts(parts(axes), counts=(len(boxes),))

    return mean_of_all(models, windows=windows, one=one)[0].cpu()


def config_of(models: Sequence[FinetuneModel]) -> TaskConfig:
    """The task that all models were trained for.

    Raises:
        ValueError: there is none, or they were trained for different ones.
    """
    if not models:
        raise ValueError("there is no model to predict with: give at least one run")
    configs = [model.task.config for model in models]
    for config in configs[1:]:
        if config != configs[0]:
            raise ValueError(
                f"the runs were trained for different tasks, {configs[0]!r} and {config!r}: "
                "average runs of one task"
            )
    assert isinstance(configs[0], TaskConfig)
    return configs[0]
