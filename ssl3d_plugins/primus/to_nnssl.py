"""A checkpoint by the contract of nnssl, which nnU-Net's mainline after 2.8.1 fine-tunes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ssl3d.geometry import Triple, as_triple, quotient, show
from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.export_config import Written
from ssl3d.weights.adapt import resized_positions
from ssl3d_plugins.primus.config import SIZES, Primus
from ssl3d_plugins.primus.export_config import ToNnssl
from ssl3d_plugins.primus.package import TABLE

FILE = "nnssl.pth"
PATCH = (8, 8, 8)
"""Voxels of a token in nnU-Net's trainers of Primus."""


def class_of(backbone: Primus) -> str:
    """The class that nnU-Net makes the network by; raises ValueError where there is none."""
    own = {"width": backbone.width, "depth": backbone.depth, "heads": backbone.heads}
    sizes = [size for size, options in SIZES.items() if options == own]
    if not sizes or backbone.patch != PATCH:
        given = ", ".join(f"{name} {value}" for name, value in own.items())
        raise ValueError(
            f"nnU-Net has Primus of the sizes {', '.join(SIZES)} with tokens of {show(PATCH)} "
            f"voxels; this one has {given} and tokens of {show(backbone.patch)}"
        )
    return f"Primus{sizes[0]}"


def write(
    config: ToNnssl,  # noqa: ARG001
    *,
    encoder: Backbone,
    backbone: Primus,
    about: Mapping[str, Any],
    out: Path,
) -> Written:
    """Plain values and tensors: read with `weights_only=True`.

    Raises:
        ValueError: nnU-Net has no Primus of these options.
    """
    name, seen = class_of(backbone), about["input"]
    z, y, x = as_triple(seen["patch"])
    patch: Triple = (z, y, x)
    weights = dict(encoder.state_dict())
    notes: list[str] = []
    if patch != backbone.volume:  # they take the table for one of the patch of pre-training
        grids = backbone.grid, quotient(patch, PATCH)
        weights[TABLE] = resized_positions(weights[TABLE], grids=grids)
        notes += [
            f"{TABLE}: interpolated from {show(grids[0])} tokens to the {show(grids[1])} of the "
            "patch of pre-training, as this encoder did in every step"
        ]
    content = {
        "network_weights": weights,
        "nnssl_adaptation_plan": {
            "architecture_plans": {
                "arch_class_name": name,
                "arch_kwargs": None,
                "arch_kwargs_requiring_import": None,
            },
            "pretrain_plan": {
                "configurations": {
                    "ssl3d": {
                        "spacing": seen["spacing"] and [float(one) for one in seen["spacing"]],
                        "patch_size": list(patch),
                    }
                }
            },
            "pretrain_num_input_channels": int(about["in_channels"]),
            "recommended_downstream_patchsize": list(patch),
            "key_to_encoder": "eva",
            "key_to_stem": "down_projection",
            "keys_to_in_proj": ["down_projection.proj"],
            "key_to_lpe": TABLE,
        },
    }
    torch.save(content, out / FILE)
    return Written(
        read_back(out / FILE),
        card={
            "use": "nnUNetv2_preprocess_like_nnssl, nnUNetv2_plan_like_dynamic, then "
            "nnUNetv2_train_pretrained -tr PretrainedTrainer_Primusx, of nnU-Net's mainline "
            "after 2.8.1"
        },
        notes=(
            *notes,
            "Read by nnU-Net's mainline after 2.8.1; the released 2.8.1 does not have the commands",
            f"Compared with this project's own network: {name} needs timm. Tests compare the two",
            "nnU-Net does not turn volumes to RAS: it takes their axes as the files have them, and "
            "this encoder has seen RAS. It normalises by z-score there, by "
            f"{seen['normalise']['name']} in pre-training",
        ),
    )


def read_back(file: Path) -> Backbone:
    """The encoder that a checkpoint describes, filled from it alone."""
    content = torch.load(file, weights_only=True)
    plan = content["nnssl_adaptation_plan"]
    (configuration,) = plan["pretrain_plan"]["configurations"].values()
    described = Primus(
        size=plan["architecture_plans"]["arch_class_name"].removeprefix("Primus"),
        volume=configuration["patch_size"],
    )
    with torch.random.fork_rng(devices=[]):
        network = described.build(in_channels=plan["pretrain_num_input_channels"])
    network.load_weights(content["network_weights"])
    return network.eval()
