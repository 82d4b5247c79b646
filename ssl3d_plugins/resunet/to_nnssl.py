"""A checkpoint by the contract of nnssl, which nnU-Net's mainline after 2.8.1 fine-tunes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.export_config import Written
from ssl3d_plugins.resunet.config import ResUNet
from ssl3d_plugins.resunet.dynamic_network import residual_unet
from ssl3d_plugins.resunet.export_configs import ToNnssl
from ssl3d_plugins.resunet.nnunet import to_nnunet
from ssl3d_plugins.resunet.nnunet_plans import FIXED, NETWORK, NORMS

FILE = "nnssl.pth"
PARTS = ("encoder.stages", "encoder.stem")
"""Submodules of nnU-Net's network that are filled, by the names that the checkpoint gives."""


def architecture_of(backbone: ResUNet) -> dict[str, Any]:
    """`arch_kwargs` of nnU-Net's network whose encoder a backbone is, as plain values."""
    stages = backbone.stage_options
    return {
        "n_stages": len(stages),
        "features_per_stage": [stage.width for stage in stages],
        "kernel_sizes": [list(stage.kernel) for stage in stages],
        "strides": [list(stage.stride) for stage in stages],
        "n_blocks_per_stage": [stage.blocks for stage in stages],
        "n_conv_per_stage_decoder": [1] * (len(stages) - 1),
        "conv_bias": backbone.bias,
        "norm_op": next(name for name, norm in NORMS.items() if norm == backbone.norm),
        **FIXED,
    }


def write(
    config: ToNnssl,  # noqa: ARG001
    *,
    encoder: Backbone,
    backbone: ResUNet,
    about: Mapping[str, Any],
    out: Path,
) -> Written:
    """Plain values and tensors: read with `weights_only=True`.

    Raises:
        ImportError: nnU-Net's networks are not installed.
    """
    channels, seen = int(about["in_channels"]), about["input"]
    architecture = architecture_of(backbone)
    with torch.random.fork_rng(devices=[]):
        network = residual_unet(architecture, in_channels=channels)
    to_nnunet(encoder, network=network)
    named = network.state_dict()
    spacing = None if seen["spacing"] is None else [float(one) for one in seen["spacing"]]
    patch = [int(edge) for edge in seen["patch"]]
    content = {
        "network_weights": {n: v for n, v in named.items() if n.startswith("encoder.")},
        "nnssl_adaptation_plan": {
            "architecture_plans": {
                "arch_class_name": NETWORK,
                "arch_kwargs": architecture,
                "arch_kwargs_requiring_import": ["conv_op", "norm_op", "nonlin"],
            },
            "pretrain_plan": {
                "configurations": {"ssl3d": {"spacing": spacing, "patch_size": patch}}
            },
            "pretrain_num_input_channels": channels,
            "recommended_downstream_patchsize": patch,
            "key_to_encoder": PARTS[0],
            "key_to_stem": PARTS[1],
            "keys_to_in_proj": [
                "encoder.stem.convs.0.conv",
                "encoder.stem.convs.0.all_modules.0",
            ],
            "key_to_lpe": None,
        },
    }
    torch.save(content, out / FILE)
    return Written(
        read_back(out / FILE),
        card={
            "use": "nnUNetv2_preprocess_like_nnssl, nnUNetv2_plan_like_dynamic, then "
            "nnUNetv2_train_pretrained, of nnU-Net's mainline after 2.8.1"
        },
        notes=(
            "Read by nnU-Net's mainline after 2.8.1; the released 2.8.1 does not have the commands",
            "nnU-Net does not turn volumes to RAS: it takes their axes as the files have them, and "
            "this encoder has seen RAS. It normalises by z-score there, by "
            f"{seen['normalise']['name']} in pre-training",
        ),
    )


def read_back(file: Path) -> nn.Module:
    """The encoder in the network that a checkpoint describes, filled as its keys name the parts."""
    content = torch.load(file, weights_only=True)
    plan, weights = content["nnssl_adaptation_plan"], content["network_weights"]
    architecture = plan["architecture_plans"]["arch_kwargs"]
    with torch.random.fork_rng(devices=[]):
        channels = plan["pretrain_num_input_channels"]
        network = residual_unet(architecture, in_channels=channels)
    for part in (plan["key_to_encoder"], plan["key_to_stem"]):
        inside = {n.removeprefix(f"{part}."): v for n, v in weights.items() if n.startswith(part)}
        network.get_submodule(part).load_state_dict(inside, strict=True)
    return network.get_submodule("encoder").eval()
