"""A file that `nnUNetv2_train … -pretrained_weights` takes (nnU-Net 2.8.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.export_config import Written
from ssl3d.weights import fill_from
from ssl3d_plugins.resunet.config import ResUNet
from ssl3d_plugins.resunet.dynamic_network import residual_unet
from ssl3d_plugins.resunet.export_configs import ToNnUNet
from ssl3d_plugins.resunet.nnunet import to_nnunet
from ssl3d_plugins.resunet.nnunet_plans import Planned, read_plans

FILE = "nnunet.pth"
NOT_ASSERTED = ".seg_layers."
"""In the names of what nnU-Net neither asks for nor takes."""


def write(
    config: ToNnUNet,
    *,
    encoder: Backbone,
    backbone: ResUNet,
    about: Mapping[str, Any],
    out: Path,
) -> Written:
    """The plan's network: the encoder filled with ours, the decoder at its initial values.

    Raises:
        ValueError: the plan's encoder is another; says in which options.
        ImportError: nnU-Net's networks are not installed.
    """
    planned = read_plans(config.plans, configuration=config.configuration)
    channels = int(about["in_channels"])
    wanted = planned.channels or channels
    _check_same(planned, backbone=backbone)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = residual_unet(planned.architecture, in_channels=wanted)
        again = residual_unet(planned.architecture, in_channels=wanted)
        adapted = backbone.build(in_channels=wanted)
    filled = fill_from(encoder, adapted, channels=(channels, wanted), inputs=config.inputs)
    report = to_nnunet(adapted, network=network)
    weights = {n: v for n, v in network.state_dict().items() if NOT_ASSERTED not in n}
    torch.save({"network_weights": weights}, out / FILE)
    _load_as_nnunet(out / FILE, network=again)
    return Written(
        again.get_submodule("encoder").eval(),
        encoder=adapted.eval(),
        card={
            "use": f"nnUNetv2_train DATASET {config.configuration} FOLD -p "
            f"{Path(config.plans).stem} -pretrained_weights {FILE}",
            "plans": {"file": config.plans, "architecture": planned.architecture},
            "filled": len(report.loaded),
            "initial": len(report.missing),
        },
        notes=(*(": ".join(line) for line in filled.table()), *_notes(planned, about=about)),
    )


def _check_same(planned: Planned, *, backbone: ResUNet) -> None:
    """The plan's encoder must be ours, before any tensor is compared."""
    wanted = ResUNet.model_validate(planned.options())
    parts: dict[str, list[Any]] = {
        "widths": [[stage.width for stage in one.stage_options] for one in (backbone, wanted)],
        "blocks": [[stage.blocks for stage in one.stage_options] for one in (backbone, wanted)],
        "kernels": [[stage.kernel for stage in one.stage_options] for one in (backbone, wanted)],
        "strides": [[stage.stride for stage in one.stage_options] for one in (backbone, wanted)],
        "norm": [backbone.norm, wanted.norm],
        "bias": [backbone.bias, wanted.bias],
    }
    other = [f"{name}: {a} here, {b} there" for name, (a, b) in parts.items() if a != b]
    if other:
        raise ValueError(
            f"plans: the encoder is not that of {planned.name}, and nothing was written. "
            f"{'; '.join(other)}. Pre-train with backbone.plans: that file"
        )


def _load_as_nnunet(file: Path, *, network: nn.Module) -> None:
    """By nnU-Net's own rule, and without running code."""
    given: dict[str, Tensor] = torch.load(file, weights_only=True)["network_weights"]
    own = network.state_dict()
    for name, value in own.items():
        if NOT_ASSERTED not in name:
            assert given[name].shape == value.shape, name
    network.load_state_dict({**own, **given})


def _notes(planned: Planned, *, about: Mapping[str, Any]) -> Iterator[str]:
    before, configuration = about["input"], planned.configuration
    yield (
        "nnU-Net does not turn volumes to RAS: it takes their axes as the files have them, and "
        'this encoder has seen RAS. Where files differ, put "overwrite_image_reader_writer": '
        '"NibabelIOWithReorient" into dataset.json before planning'
    )
    if planned.transpose != (0, 1, 2):
        yield (
            f"These plans transpose the axes z, y, x to {list(planned.transpose)} "
            "(transpose_forward); this encoder has seen z, y, x"
        )
    spacing = before["spacing"] or "that of the files"
    yield (
        f"Spacing in mm, z y x: {configuration.get('spacing')} there, {spacing} in pre-training. "
        f"Normalisation: {configuration.get('normalization_schemes')} there, "
        f"{before['normalise']['name']} in pre-training"
    )
    yield (
        "The decoder holds its initial values. nnU-Net keeps its own learning rate, 1e-2, which "
        "is that of a training from scratch; pre-trained weights are usually given a tenth of it"
    )
