"""A fine-tuning spec with what its encoder says. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl3d.data.labelled.preparation import preparation
from ssl3d.data.labelled.truth import LabelMap, Targets, Truth
from ssl3d.data.spec import DataSpec
from ssl3d.geometry import Triple, show
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.plugin.spec_error import SpecError
from ssl3d.run.trainer_spec import BestSpec, TrainerSpec
from ssl3d.tasks.encoder import DESCRIPTION, behind, describe_encoder, encoder_config
from ssl3d.tasks.finetune.build import default_decoder
from ssl3d.tasks.finetune.pretrained_decoder import pretrained_decoder
from ssl3d.tasks.finetune.spec import FinetuneSpec
from ssl3d.tasks.finetune.spec_checks import network_problems

PATCH: Triple = (96, 96, 96)
"""Of a run from scratch that names none."""


@dataclass(frozen=True)
class Resolved:
    """What a fine-tuning run is made of.

    Attributes:
        spec: as given.
        backbone: the network.
        decoder: for tasks on voxels; None for tasks on cases.
        described: True where the encoder says itself what it is.
        patch: size of crops and windows.
        preparation: how volumes are prepared.
        trainer: with the number that chooses, where one does.
        remarks: what the user should know.
    """

    spec: FinetuneSpec
    backbone: BackboneConfig
    decoder: DecoderConfig | None
    described: bool
    patch: Triple
    preparation: DataSpec
    trainer: TrainerSpec
    remarks: tuple[str, ...]

    @property
    def in_channels(self) -> int:
        """Channels of the labelled volumes."""
        return len(self.spec.data.channels)

    @property
    def truth(self) -> Truth:
        """What is read of each case beside its image."""
        return truth_of(self.spec.task)


def truth_of(task: TaskConfig) -> Truth:
    """What a task learns, as data read it."""
    if task.per == "voxel":
        return LabelMap((0, *task.legend().values()), task.outputs(), task.ignored())
    return Targets(task.columns(), kind=task.targets, classes=task.column_classes())


def resolved(spec: FinetuneSpec) -> Resolved:
    """Fill in what the encoder says.

    Raises:
        SpecError: something does not fit it.
        ValueError: there is no encoder where the spec says.
    """
    description: Mapping[str, Any] = {}
    described = spec.encoder is not None and _is_described(Path(spec.encoder).expanduser())
    if described:
        assert spec.encoder is not None
        description = describe_encoder(spec.encoder)
        backbone = encoder_config(spec.encoder)
        if spec.backbone is not None and spec.backbone != backbone:
            raise SpecError(
                [("backbone", f"the encoder is {backbone!r}, and says so itself: leave it out")]
            )
        if spec.encoder_channels not in (None, description["in_channels"]):
            raise SpecError(
                [
                    (
                        "encoder_channels",
                        f"the encoder has {description['in_channels']} and says so itself: leave "
                        "it out",
                    )
                ]
            )
    elif spec.backbone is None:
        raise SpecError(
            [
                (
                    "encoder",
                    f"{spec.encoder} is no run's folder and no exported encoder ({DESCRIPTION} is "
                    "missing): give one, or name the backbone that can read this file",
                )
            ]
        )
    else:
        backbone = spec.backbone
    inputs = description.get("input")
    patch = _patch(spec.patch, was=None if inputs is None else inputs.get("patch"))
    found = list(network_problems(spec, backbone=backbone, patch=patch))
    if found:
        raise SpecError(found)
    how, remarks = preparation(spec.data, patch=patch, encoder=inputs)
    if spec.encoder is not None and inputs is None:
        remarks.append(
            f"How the volumes of {spec.encoder} were prepared is not written in it: they are "
            "prepared as data says. Set data.spacing and data.normalise as they were"
        )
    trained, now = description.get("in_channels", spec.encoder_channels), len(spec.data.channels)
    if trained is not None and trained != now and spec.inputs is not None:
        channels = "channel" if trained == 1 else "channels"
        remarks.append(f"The encoder had {trained} {channels}, now {now}: {spec.inputs}")
    remarks += [*_said_of_run(spec)] if described else []
    remarks += [f"backbone: {said}" for said in backbone.warnings(patch=patch)]
    decoder = None
    if spec.task.per == "voxel":
        decoder = spec.decoder or (
            pretrained_decoder(spec.encoder)
            if spec.encoder is not None and spec.transfer == "encoder+decoder"
            else default_decoder(backbone.stages())
        )
    return Resolved(
        spec,
        backbone,
        decoder,
        described,
        patch,
        how,
        trainer=_trainer(spec),
        remarks=tuple(remarks),
    )


def _said_of_run(spec: FinetuneSpec) -> Iterator[str]:
    """Where encoder and decoder are not of one step, or not what the run has last."""
    assert spec.encoder is not None
    source = Path(spec.encoder).expanduser()
    later = behind(source)
    if later is not None:
        yield later
    if spec.transfer == "encoder+decoder" and describe_encoder(source)["trained"].get("ema"):
        yield "The encoder is an average over steps (optimizer.ema), the decoder is the last step's"


def _is_described(path: Path) -> bool:
    folder = path.parent if path.suffix == ".safetensors" else path
    return path.is_dir() or (folder / DESCRIPTION).is_file()


def _patch(given: Triple | None, *, was: Any) -> Triple:
    if given is not None:
        return given
    if was is None:
        return PATCH
    return (was, was, was) if isinstance(was, int) else (was[0], was[1], was[2])


def _trainer(spec: FinetuneSpec) -> TrainerSpec:
    """With the number by which the best weights are chosen."""
    if spec.select == "last":
        if spec.trainer.best is not None:
            raise SpecError(
                [("trainer.best", "nothing is measured on the way with select: last: use best")]
            )
        return spec.trainer
    task, given = spec.task, spec.trainer.best
    best = BestSpec(
        number=f"choosing/{task.primary}",
        larger=task.larger_is_better,
        patience=None if given is None else given.patience,
    )
    if given is not None and (given.number, given.larger) != (best.number, best.larger):
        raise SpecError(
            [
                (
                    "trainer.best",
                    f"the best weights of {task.name} are those with the "
                    f"{'largest' if best.larger else 'smallest'} {best.number}: give that, and "
                    "patience where the run shall end early",
                )
            ]
        )
    return spec.trainer.model_copy(update={"best": best})


def sizes_in_words(resolved: Resolved) -> str:
    """Network, task and crops in a line."""
    spec = resolved.spec
    decoder = "" if resolved.decoder is None else f", decoder {resolved.decoder.name}"
    return (
        f"{resolved.backbone.name}{decoder} for {spec.task.name} by the recipe {spec.how.name}, "
        f"crops of {show(resolved.patch)} voxels"
    )
