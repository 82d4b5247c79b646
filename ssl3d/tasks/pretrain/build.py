"""From a spec to an untrained model."""

from __future__ import annotations

import torch
from torch import nn

from ssl3d.masked.model import PretrainModel
from ssl3d.streams import weights_seed
from ssl3d.tasks.pretrain.spec_fields import ExperimentFields


def build_model(spec: ExperimentFields) -> PretrainModel:
    """The model of a spec, with weights drawn from its seed; global random state is left alone."""
    with weights_seed(spec.seed):
        stages, sparse = spec.backbone.stages(), spec.encoder_input == "visible"
        backbone = spec.backbone.build(in_channels=spec.data.in_channels)
        if sparse:
            _arrange_weights(backbone)
        return PretrainModel(
            backbone,
            backend=spec.sparse_backend.build(),
            views=spec.views.build(patch=spec.data.patch, cell=spec.cell_size, masker=spec.masker),
            masker=spec.masker.build(),
            losses={loss.title: loss.build(stages=stages) for loss in spec.losses},
            weights={loss.title: loss.weight for loss in spec.losses},
            # Without a loss on what it restores, its parameters get no gradient, and stall DDP.
            decoder=spec.decoder.build(
                stages=stages, out_channels=spec.data.in_channels, sparse=sparse
            )
            if spec.restores
            else None,
            in_channels=spec.data.in_channels,
            encoder_input=spec.encoder_input,
            target=spec.target,
        )


def _arrange_weights(backbone: nn.Module) -> None:
    """Channels-last, as features are: each place in a kernel is a matrix where it lies."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
