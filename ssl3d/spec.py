"""Where Python specs of older versions find the parts of a spec; today they are in `ssl3d`."""

from __future__ import annotations

from typing import Any

import ssl3d
from ssl3d.plugin.registry import installed


def __getattr__(name: str) -> Any:
    if name == "DecoderSpec":  # before decoders were components
        return installed().config("decoder", name="spark")
    return getattr(ssl3d, name)
