"""One pre-training step: hide, encode what is visible, densify, decode, restore."""

from ssl3d.pretrain.decoder import SparkDecoder
from ssl3d.pretrain.model import PretrainModel

__all__ = ["PretrainModel", "SparkDecoder"]
