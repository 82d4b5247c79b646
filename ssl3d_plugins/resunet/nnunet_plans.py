"""The network that nnU-Net has planned, read from its plans file. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl3d.data.nnunet_plans import read_configuration
from ssl3d.plugin.shown import shown

NETWORK = "ResidualEncoderUNet"
CONV = "torch.nn.modules.conv.Conv3d"
NORMS = {
    "torch.nn.modules.instancenorm.InstanceNorm3d": "instance",
    "torch.nn.modules.batchnorm.BatchNorm3d": "batch",
}
"""Norms that `resunet` has, by nnU-Net's name for them."""

COLUMNS = {
    "features_per_stage": "widths",
    "n_blocks_per_stage": "blocks",
    "kernel_sizes": "kernels",
    "strides": "strides",
}
"""nnU-Net's name for what each stage has, and the option of `resunet`."""

OPTIONS = (*COLUMNS.values(), "norm", "bias")
"""What plans settle."""

FIXED = {
    "conv_op": CONV,
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}
"""What `resunet` has in one form alone."""

FREE = ("n_stages", "n_conv_per_stage_decoder", "conv_bias", "norm_op", *COLUMNS)
PLAN_AGAIN = "plan again with one of the nnUNetPlannerResEnc planners (nnUNetv2_plan_experiment)"


@dataclass(frozen=True)
class Planned:
    """One configuration of a plans file, with what it inherits filled in.

    Attributes:
        name: of the plans and of the configuration, for messages.
        architecture: `arch_kwargs`: arguments of nnU-Net's network as plain values.
        transpose: which axis of the file, z y x, each axis of the network is.
        configuration: all of it.
    """

    name: str
    architecture: dict[str, Any]
    transpose: tuple[int, ...]
    configuration: Mapping[str, Any]

    @property
    def channels(self) -> int | None:
        """Of the data set, one for each normalisation; None where plans do not say it."""
        schemes = self.configuration.get("normalization_schemes")
        return len(schemes) if isinstance(schemes, list) and schemes else None

    def options(self) -> dict[str, Any]:
        """Those of `resunet` that make the same encoder."""
        columns = {ours: self.architecture[name] for name, ours in COLUMNS.items()}
        norm = NORMS[self.architecture["norm_op"]]
        return {**columns, "norm": norm, "bias": self.architecture["conv_bias"]}


def read_plans(path: str | os.PathLike[str], *, configuration: str) -> Planned:
    """The network of one configuration.

    Raises:
        ValueError: there is no such file or configuration, or its network is not one that
            `resunet` can be.
    """
    plans = read_configuration(path, name=configuration)
    return Planned(
        plans.name,
        _architecture(plans.configuration, name=f"{plans.file}, {configuration}"),
        plans.transpose,
        plans.configuration,
    )


def _architecture(configuration: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """`arch_kwargs`, where they are those of an encoder that `resunet` can be."""
    planned = configuration.get("architecture")
    if not isinstance(planned, dict) or not isinstance(planned.get("arch_kwargs"), dict):
        raise ValueError(
            f"plans: {name} has no 'architecture' with 'arch_kwargs': an older nnU-Net wrote "
            f"it; {PLAN_AGAIN}"
        )
    network = str(planned.get("network_class_name")).rpartition(".")[2]
    if network != NETWORK:
        raise ValueError(f"plans: {name} has the network {network}, not {NETWORK}: {PLAN_AGAIN}")
    given: dict[str, Any] = planned["arch_kwargs"]
    missing = [key for key in FREE if key not in given]
    unknown = [key for key in given if key not in (*FREE, *FIXED, "deep_supervision")]
    if missing or unknown:
        raise ValueError(f"plans: {name}: arch_kwargs lack {missing}; not known are {unknown}")
    if given["conv_op"] == CONV.replace("3d", "2d"):
        raise ValueError(f"plans: {name} is a network of slices: choose one of 3d_fullres and such")
    for key, allowed in FIXED.items():
        if given.get(key, allowed) != allowed:
            raise ValueError(
                f"plans: {name}: {key} is {shown(given[key])}; resunet has {shown(allowed)}"
            )
    if str(given["norm_op"]) not in NORMS:
        raise ValueError(
            f"plans: {name}: norm_op is {shown(given['norm_op'])}; resunet has {', '.join(NORMS)}"
        )
    stages = given["n_stages"]
    for key in COLUMNS:
        if not isinstance(given[key], Sequence) or len(given[key]) != stages:
            raise ValueError(f"plans: {name}: {key} has not one entry for each of {stages} stages")
    return dict(given)
