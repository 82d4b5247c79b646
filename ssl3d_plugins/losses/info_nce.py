"""What `info_nce` builds: the loss between stages, or that between views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ssl3d.geometry import Stage
from ssl3d.kinds.loss import Loss
from ssl3d_plugins.losses.info_nce_config import InfoNCE
from ssl3d_plugins.losses.info_nce_loss import InfoNCELoss
from ssl3d_plugins.losses.info_nce_views_loss import InfoNCEViewsLoss


def build(config: InfoNCE, *, stages: Sequence[Stage], **told: Any) -> Loss:
    """By `between`."""
    if config.between == "views":
        return InfoNCEViewsLoss(config, stages=stages, **told)
    return InfoNCELoss(config, stages=stages)
