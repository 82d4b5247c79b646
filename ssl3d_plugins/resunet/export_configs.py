"""Ways from `resunet` to nnU-Net. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl3d.data.spec_types import PathText
from ssl3d.kinds.export_config import ExportConfig
from ssl3d_plugins.resunet.from_plans import DEFAULT


class ToNnUNet(ExportConfig):
    """A file for `nnUNetv2_train … -pretrained_weights`, for the network of a plans file."""

    builds = "ssl3d_plugins.resunet.to_nnunet:write"
    name: Literal["nnunet"] = "nnunet"
    plans: PathText = Field(description="plans file of the data set to train on")
    configuration: str = Field(default=DEFAULT, description="which configuration of the plans")
    inputs: Literal["repeat", "average", "new"] | None = Field(
        default=None,
        description="where the data set has other channels than pre-training: the stem's input "
        "channels in turn, their mean, or initial values; none: other channels are refused",
    )
    seed: int = Field(default=0, ge=0, description="of initial values")


class ToNnssl(ExportConfig):
    """A checkpoint as nnssl writes them, which nnU-Net's own fine-tuning commands read.

    They are in nnU-Net's mainline after 2.8.1: nnUNetv2_preprocess_like_nnssl,
    nnUNetv2_plan_like_dynamic and nnUNetv2_train_pretrained.
    """

    builds = "ssl3d_plugins.resunet.to_nnssl:write"
    name: Literal["nnssl"] = "nnssl"
