"""The way from `primus` to nnU-Net's fine-tuning commands. Imports no torch."""

from __future__ import annotations

from typing import Literal

from ssl3d.kinds.export_config import ExportConfig


class ToNnssl(ExportConfig):
    """A checkpoint as nnssl writes them, which nnU-Net's own fine-tuning commands read.

    They are in nnU-Net's mainline after 2.8.1: nnUNetv2_preprocess_like_nnssl,
    nnUNetv2_plan_like_dynamic and nnUNetv2_train_pretrained.
    """

    builds = "ssl3d_plugins.primus.to_nnssl:write"
    name: Literal["nnssl"] = "nnssl"
