"""The way out that every backbone has: the encoder's two files in a folder of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.export_config import ExportConfig, Written
from ssl3d.tasks.encoder import load_encoder, write_encoder


class EncoderFolder(ExportConfig):
    """What `ssl3d.load_encoder` reads, wherever its backbone is installed."""

    builds = "ssl3d.tasks.encoder_folder:write"
    name: Literal["encoder"] = "encoder"


def write(
    config: EncoderFolder,  # noqa: ARG001
    *,
    encoder: Backbone,
    backbone: BackboneConfig,
    about: Mapping[str, Any],
    out: Path,
) -> Written:
    """`encoder.safetensors` and `encoder.json`, as runs leave them."""
    write_encoder(encoder.state_dict(), about=about, out=out)
    names = [way.component_name() for way in backbone.exports]
    more = f"This backbone also goes to: {', '.join(names)}" if names else ""
    return Written(load_encoder(out), notes=(more,) if more else ())
