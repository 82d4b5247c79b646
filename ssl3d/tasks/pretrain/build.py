"""From a spec to an untrained model."""

from __future__ import annotations

import torch
from torch import nn

from ssl3d.masked.decoder import SparkDecoder
from ssl3d.masked.model import PretrainModel
from ssl3d.tasks.pretrain.fields import ExperimentFields


def build_model(spec: ExperimentFields) -> PretrainModel:
    """The model of a spec, with weights drawn from its seed; global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        stages = spec.backbone.stages()
        backbone = spec.backbone.build(in_channels=spec.data.in_channels)
        if spec.encoder_input == "visible":
            _arrange_weights(backbone)
        return PretrainModel(
            backbone,
            backend=spec.sparse_backend.build(),
            masker=spec.masker.build(),
            losses={loss.title: loss.build(stages=stages) for loss in spec.losses},
            weights={loss.title: loss.weight for loss in spec.losses},
            decoder=SparkDecoder(
                stages,
                out_channels=spec.data.in_channels,
                width=spec.decoder.width or max(8, stages[-1].channels // 4),
                head_stride=spec.decoder.head_stride,
                norm=spec.decoder.norm if spec.decoder.densify else None,
                # A dense pass hides no site: tokens would get no gradient, and stall DDP.
                token=spec.decoder.token and spec.encoder_input == "visible",
            ),
            in_channels=spec.data.in_channels,
            cell=spec.cell_size,
            encoder_input=spec.encoder_input,
            target=spec.target,
        )


def _arrange_weights(backbone: nn.Module) -> None:
    """Channels-last, as features are: each place in a kernel is a matrix where it lies."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
