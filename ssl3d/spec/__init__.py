"""The typed experiment spec."""

from ssl3d.spec.data import DataSpec
from ssl3d.spec.errors import SpecError
from ssl3d.spec.experiment import ExperimentSpec
from ssl3d.spec.optimizer import OptimizerSpec
from ssl3d.spec.parts import DecoderSpec
from ssl3d.spec.quality import ProbeSpec, QualitySpec
from ssl3d.spec.trainer import TrainerSpec

__all__ = [
    "DataSpec",
    "DecoderSpec",
    "ExperimentSpec",
    "OptimizerSpec",
    "ProbeSpec",
    "QualitySpec",
    "SpecError",
    "TrainerSpec",
]
