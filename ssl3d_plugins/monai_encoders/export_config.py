"""The way from `monai` to MONAI. Imports no torch."""

from __future__ import annotations

from typing import Literal

from ssl3d.kinds.export_config import ExportConfig


class ToMonai(ExportConfig):
    """A state dict for MONAI's own network, which gets its decoder or head elsewhere."""

    builds = "ssl3d_plugins.monai_encoders.to_monai:write"
    name: Literal["monai"] = "monai"
