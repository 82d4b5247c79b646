"""The specs of an encoder and of an arm, made of the bases and what each changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from arm import Arm
from sets import LABELS, images, write_groups, write_manifest
from settings import FINETUNE, NETWORK, OF_SET, PRETRAIN, WEIGHTS

if TYPE_CHECKING:
    from ssl3d import ExperimentSpec, FinetuneSpec

Values = Mapping[str, Any]
NOTHING: Values = MappingProxyType({})


def pretraining(name: str, *, of: str, data: Path, work: Path, also: Values) -> ExperimentSpec:
    """The spec of a pre-training on the pool of a set.

    Args:
        name: of the encoder.
        of: the set.
        data: folder of the sets.
        work: folder for the file of groups.
        also: what is changed besides.
    """
    import ssl3d

    groups = write_groups(of, path=work / "groups.json")
    files = {"volumes": images(of, "pool", data=data), "group_file": groups}
    parts = {**PRETRAIN, "data": {**PRETRAIN["data"], **files}}
    return ssl3d.ExperimentSpec(**parts).with_values({**WEIGHTS[name], **also})


def finetuning(arm: Arm, *, seed: int, data: Path, work: Path, also: Values) -> FinetuneSpec:
    """The spec of an arm; see `pretraining`. Its encoder must be there."""
    import ssl3d
    from ssl3d.folder import RunFolder

    table = work / f"{arm.name}-s{seed}.csv"
    start: dict[str, Any] = {"backbone": NETWORK}
    if arm.checkpoint is not None:
        kept = RunFolder(encoder_of(arm, work)).checkpoint(arm.checkpoint)
        start = {"encoder": str(kept), "backbone": NETWORK}
    elif arm.weights is not None:
        start = {"encoder": str(encoder_of(arm, work))}
    write_manifest(arm.of, tested="inner", data=data, path=table)
    parts = {
        **FINETUNE,
        **start,
        "task": {"name": "segmentation", "labels": LABELS[arm.of]},
        "data": {**FINETUNE["data"], "manifest": str(table)},
        "recipe": arm.course,
        "seed": seed,
        "subset_seed": seed,
    }
    return ssl3d.FinetuneSpec(**parts).with_values(changes_of(arm, also))


def encoder_of(arm: Arm, work: Path) -> Path:
    """The run that it starts from."""
    return work / f"pretrain-{arm.weights}"


def changes_of(arm: Arm, also: Values) -> dict[str, Any]:
    """What an arm changes in the base, its set's part included."""
    return {**OF_SET[arm.of], **arm.values, **also}
