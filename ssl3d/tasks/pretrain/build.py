"""From a spec to an untrained model."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from ssl3d.masked.model import PretrainModel
from ssl3d.plugin.spec_error import SpecError
from ssl3d.streams import weights_seed
from ssl3d.tasks.pretrain.spec_fields import ExperimentFields


def build_model(spec: ExperimentFields) -> PretrainModel:
    """The model of a spec, with weights drawn from its seed; global random state is left alone.

    Raises:
        SpecError: what only the built network shows does not fit.
    """
    with weights_seed(spec.seed):
        sparse, features = spec.encoder_input == "visible", None
        backbone = spec.backbone.build(in_channels=spec.data.in_channels)
        if spec.feature_encoder is not None:
            features = spec.feature_encoder.build(in_channels=spec.encoded_channels)
        if sparse:
            _arrange_weights(backbone if features is None else features)
        views = spec.views.build(patch=spec.data.patch, cell=spec.cell_size, masker=spec.masker)
        finest = spec.decoder.features(stages=spec.decoder_stages) if spec.restores else None
        model = PretrainModel(
            backbone,
            backend=spec.sparse_backend.build(),
            views=views,
            masker=spec.masker.build(),
            losses={
                loss.title: loss.build(
                    stages=spec.stages, features=finest, levels=len(views.levels)
                )
                for loss in spec.losses
            },
            weights={loss.title: loss.weight for loss in spec.losses},
            # Without a loss on what it restores, its parameters get no gradient, and stall DDP.
            decoder=spec.decoder.build(
                stages=spec.decoder_stages,
                out_channels=spec.restored_channels,
                sparse=sparse,
                in_channels=spec.encoded_channels,
            )
            if spec.restores
            else None,
            in_channels=spec.data.in_channels,
            out_channels=spec.data.sample_channels,
            encoder_input=spec.encoder_input,
            target=spec.target,
            normalisation=spec.normalisation,
            at_once=spec.views_at_once,
            feature_encoder=features,
        )
    return _check_norms(model)


def _check_norms(model: PretrainModel) -> PretrainModel:
    """Raise SpecError where views that are encoded apart would have statistics of their own."""
    encoder = "backbone" if model.feature_encoder is None else "feature_encoder"
    parts = {encoder: model.encoder, "decoder": model.decoder}
    for name, part in parts.items():
        norms = part is not None and any(isinstance(m, BatchNorm) for m in part.modules())
        if model.at_once is not None and norms:
            problem = (
                f"the {name} has batch norm, whose statistics are of the views that are encoded "
                "together, so gradients would be others: leave it out, or take a network without, "
                "such as the decoder unet"
            )
            raise SpecError([("views_at_once", problem)])
    return model


def _arrange_weights(backbone: nn.Module) -> None:
    """Channels-last, as features are: each place in a kernel is a matrix where it lies."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
