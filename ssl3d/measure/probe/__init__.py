"""How much of a label map can be read off a frozen encoder by a linear map of its features."""

from ssl3d.measure.probe.crops import LabelledCrop, labelled_crops
from ssl3d.measure.probe.linear import probe_dice

__all__ = ["LabelledCrop", "labelled_crops", "probe_dice"]
