"""Self-supervised pre-training of 3D medical imaging models that computes only what is visible.

Importing this package loads neither torch nor any plugin: names are looked up on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl3d.data.labelled.augment_spec import AugmentSpec
    from ssl3d.data.labelled.spec import LabelledData
    from ssl3d.data.spec import DataSpec
    from ssl3d.measure.spec import ProbeSpec, QualitySpec
    from ssl3d.plugin.catalogue import components
    from ssl3d.plugin.hooks import hookimpl
    from ssl3d.plugin.spec_error import SpecError
    from ssl3d.run.optimizer_spec import OptimizerSpec
    from ssl3d.run.run_error import RunError
    from ssl3d.run.trainer_spec import TrainerSpec
    from ssl3d.tasks.encoder import load_encoder
    from ssl3d.tasks.export import export
    from ssl3d.tasks.finetune.model_file import load_model
    from ssl3d.tasks.finetune.run import finetune
    from ssl3d.tasks.finetune.spec import FinetuneSpec
    from ssl3d.tasks.predict.predict import predict
    from ssl3d.tasks.prepare_volume import prepare_volume
    from ssl3d.tasks.pretrain.run import pretrain
    from ssl3d.tasks.pretrain.spec import ExperimentSpec

__version__ = "0.1.0"

_HOME = {
    "AugmentSpec": "ssl3d.data.labelled.augment_spec",
    "DataSpec": "ssl3d.data.spec",
    "ExperimentSpec": "ssl3d.tasks.pretrain.spec",
    "FinetuneSpec": "ssl3d.tasks.finetune.spec",
    "LabelledData": "ssl3d.data.labelled.spec",
    "OptimizerSpec": "ssl3d.run.optimizer_spec",
    "ProbeSpec": "ssl3d.measure.spec",
    "QualitySpec": "ssl3d.measure.spec",
    "RunError": "ssl3d.run.run_error",
    "SpecError": "ssl3d.plugin.spec_error",
    "TrainerSpec": "ssl3d.run.trainer_spec",
    "components": "ssl3d.plugin.catalogue",
    "finetune": "ssl3d.tasks.finetune.run",
    "export": "ssl3d.tasks.export",
    "hookimpl": "ssl3d.plugin.hooks",
    "load_encoder": "ssl3d.tasks.encoder",
    "load_model": "ssl3d.tasks.finetune.model_file",
    "predict": "ssl3d.tasks.predict.predict",
    "prepare_volume": "ssl3d.tasks.prepare_volume",
    "pretrain": "ssl3d.tasks.pretrain.run",
}

__all__ = [
    "AugmentSpec",
    "DataSpec",
    "ExperimentSpec",
    "FinetuneSpec",
    "LabelledData",
    "OptimizerSpec",
    "ProbeSpec",
    "QualitySpec",
    "RunError",
    "SpecError",
    "TrainerSpec",
    "components",
    "export",
    "finetune",
    "hookimpl",
    "load_encoder",
    "load_model",
    "predict",
    "prepare_volume",
    "pretrain",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ssl3d' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
