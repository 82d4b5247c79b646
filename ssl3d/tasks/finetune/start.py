"""The model that a fine-tuning run starts from."""

from __future__ import annotations

from pathlib import Path

import torch

from ssl3d.folder import RunFolder
from ssl3d.kinds.backbone import Backbone
from ssl3d.run.checkpoint_file import read_checkpoint
from ssl3d.run.run_error import RunError
from ssl3d.streams import weights_seed
from ssl3d.tasks.encoder import describe_encoder
from ssl3d.tasks.finetune.build import build_model, fill_decoder
from ssl3d.tasks.finetune.encoder_weights import backbone_from_file, pretrained_backbone
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.pretrained_decoder import no_run
from ssl3d.tasks.finetune.resolved import Resolved
from ssl3d.tasks.loaded import Loaded

DECODER = "model.decoder."
"""What stands before the names of the decoder's tensors in a pre-training checkpoint."""


def starting_model(
    resolved: Resolved, *, samples_per_step: int
) -> tuple[FinetuneModel, list[Loaded]]:
    """The model, with weights drawn from the seed where none are loaded, and what was loaded.

    A seed gives decoder and head the same weights whatever the encoder starts from.

    Raises:
        ValueError: weights do not fit, and it was not asked to make them fit.
    """
    spec = resolved.spec
    backbone, loaded = _backbone(resolved)
    with weights_seed(spec.seed):
        model = build_model(
            backbone,
            task=spec.task,
            decoder=resolved.decoder,
            recipe=spec.how,
            steps=resolved.trainer.steps,
            samples_per_step=samples_per_step,
        )
    if spec.transfer == "encoder+decoder":
        loaded.append(_decoder(model, resolved=resolved))
    return model, loaded


def _backbone(resolved: Resolved) -> tuple[Backbone, list[Loaded]]:
    spec = resolved.spec
    if spec.encoder is None:
        with weights_seed(spec.seed):
            return resolved.backbone.build(in_channels=resolved.in_channels), []
    if resolved.described:
        module, adapted = pretrained_backbone(
            Path(spec.encoder).expanduser(),
            in_channels=resolved.in_channels,
            patch=resolved.patch,
            inputs=spec.inputs,
            positions=spec.positions,
        )
    else:
        module, adapted = backbone_from_file(
            Path(spec.encoder).expanduser(),
            config=resolved.backbone,
            file_channels=spec.encoder_channels or resolved.in_channels,
            in_channels=resolved.in_channels,
            inputs=spec.inputs,
        )
    return module, [Loaded("encoder", spec.encoder, adapted)]


def _decoder(model: FinetuneModel, *, resolved: Resolved) -> Loaded:
    """Fill the decoder from the run's checkpoint of the encoder's step."""
    spec = resolved.spec
    assert spec.encoder is not None
    if model.decoder is None:
        raise RunError("transfer: encoder+decoder is for tasks on voxels, which have a decoder")
    folder = RunFolder(Path(spec.encoder).expanduser())
    if folder.newest_checkpoint() is None:
        raise no_run(folder)
    trained = describe_encoder(folder.root)["trained"]
    checkpoint = folder.checkpoint(trained["steps"])
    if not checkpoint.is_file():
        raise RunError(
            f"transfer: the encoder of {folder.root} is that of step {trained['steps']}, and no "
            f"checkpoint of that step is left, only up to {folder.newest_step()}: go on with the "
            "run to its end, or transfer the encoder alone"
        )
    if trained.get("feature_encoder"):
        raise RunError(
            f"transfer: the decoder of {folder.root} reads the maps of a feature encoder, which "
            "fine-tuning does not have: transfer the encoder alone"
        )
    state: dict[str, torch.Tensor] = read_checkpoint(checkpoint)["state_dict"]
    weights = {
        name.removeprefix(DECODER): value
        for name, value in state.items()
        if name.startswith(DECODER)
    }
    return Loaded("decoder", str(checkpoint), fill_decoder(model.decoder, weights=weights))
