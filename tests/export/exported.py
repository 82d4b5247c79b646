"""Encoders and plans for tests of exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ssl3d import ExperimentSpec
from ssl3d.tasks.pretrain.export import export_encoder
from ssl3d.testing.backbone_under_test import randomise

RESUNET = {
    "name": "resunet",
    "widths": (4, 8, 12),
    "blocks": (1, 2, 1),
    "strides": (1, (1, 2, 2), 2),
}


def encoder_of(backbone: Any, *, out: Path, channels: Any = None, **data: Any) -> Path:
    """The folder of an encoder with other weights than initial ones."""
    spec = ExperimentSpec(
        backbone=backbone,
        data={"volumes": "nowhere", "patch": (16, 16, 16), "channels": channels, **data},
        losses=["mse"],
    )
    module = spec.build().backbone
    with torch.random.fork_rng():
        torch.manual_seed(3)
        randomise(module)
    export_encoder(module.state_dict(), spec=spec, out=out, step=5)
    return out


def plans_file(path: Path, *, change: Any = None, **architecture: Any) -> Path:
    """A plans file as nnU-Net 2.8.1 writes it, for the network of `RESUNET`."""
    content: dict[str, Any] = {
        "dataset_name": "Dataset004_Hippocampus",
        "plans_name": "nnUNetResEncUNetMPlans",
        "transpose_forward": [0, 1, 2],
        "configurations": {
            "2d": {
                "architecture": {
                    "network_class_name": "dynamic_network_architectures.architectures.unet."
                    "ResidualEncoderUNet",
                    "arch_kwargs": {},
                }
            },
            "3d_fullres": {
                "spacing": [1.0, 1.0, 1.0],
                "patch_size": [40, 56, 40],
                "normalization_schemes": ["ZScoreNormalization"],
                "architecture": {
                    "network_class_name": "dynamic_network_architectures.architectures.unet."
                    "ResidualEncoderUNet",
                    "arch_kwargs": {
                        "n_stages": 3,
                        "features_per_stage": [4, 8, 12],
                        "conv_op": "torch.nn.modules.conv.Conv3d",
                        "kernel_sizes": [[3, 3, 3]] * 3,
                        "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
                        "n_blocks_per_stage": [1, 2, 1],
                        "n_conv_per_stage_decoder": [1, 1],
                        "conv_bias": True,
                        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                        "dropout_op": None,
                        "dropout_op_kwargs": None,
                        "nonlin": "torch.nn.LeakyReLU",
                        "nonlin_kwargs": {"inplace": True},
                        **architecture,
                    },
                    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
                },
            },
            "3d_low": {"inherits_from": "3d_fullres", "spacing": [2.0, 2.0, 2.0]},
            "circle": {"inherits_from": "circle"},
        },
    }
    if change is not None:
        change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
