"""Fields of a spec that hold a component, one for each kind. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.kinds.loss_config import LossConfig
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d.plugin.component_field import ComponentField
from ssl3d.sparse.backend_config import SparseBackendConfig

BackboneField = Annotated[BackboneConfig, ComponentField(BackboneConfig)]
SparseBackendField = Annotated[SparseBackendConfig, ComponentField(SparseBackendConfig)]
MaskerField = Annotated[MaskerConfig, ComponentField(MaskerConfig)]
DecoderField = Annotated[DecoderConfig, ComponentField(DecoderConfig, unnamed="spark")]
ViewsField = Annotated[ViewsConfig, ComponentField(ViewsConfig)]
LossField = Annotated[LossConfig, ComponentField(LossConfig)]
TaskField = Annotated[TaskConfig, ComponentField(TaskConfig)]
