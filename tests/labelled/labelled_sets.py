"""The set that `write_set` writes, as a spec and as volumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ssl3d.data.labelled.augment_spec import AugmentSpec
from ssl3d.data.labelled.crops import LabelledCrops
from ssl3d.data.labelled.preparation import preparation
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.truth import LabelMap, Targets
from ssl3d.data.labelled.volumes import LabelledVolumes

Write = Callable[..., Path]
OFF = AugmentSpec.off()
TISSUE = LabelMap(values=(0, 1, 2), names=("background", "front", "back"))


def patterns(folder: Path, **options: object) -> LabelledData:
    """The set of `write_set`."""
    given = {"images": f"{folder}/images/*.nii", "labels": f"{folder}/labels/*.nii"}
    options.setdefault("cache", {"folder": f"{folder}/cache"})
    return LabelledData(**{**given, "workers": 0, **options})


def found(
    data: LabelledData,
    *,
    truth: LabelMap | Targets = TISSUE,
    patch: tuple[int, int, int] = (8, 8, 8),
    **options: object,
) -> LabelledVolumes:
    """Its volumes, found and split."""
    volumes = LabelledVolumes(
        data, truth=truth, preparation=preparation(data, patch=patch)[0], **options
    )
    volumes.find()
    return volumes


def training(volumes, *, patch=(8, 8, 8), augment=OFF, seed=0) -> LabelledCrops:
    """Training crops of volumes that are found."""
    return LabelledCrops(
        volumes.sides.training,
        data=volumes.data,
        patch=patch,
        seed=seed,
        augment=augment,
        store=volumes.training_store,
        policy=volumes.policy,
    )
