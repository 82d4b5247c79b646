"""Layers that take a dense tensor or a `SparseVolume`, with parameters in torch layout.

A layer finds the sparse backend on the volume that it is given, so modules and checkpoints know
no backend.
"""

from ssl3d.sparse.layers.conv import Conv3d, ConvTranspose3d
from ssl3d.sparse.layers.densify import Densify
from ssl3d.sparse.layers.drop_path import DropPath, rising
from ssl3d.sparse.layers.norm import BatchNorm, InstanceNorm, LayerNorm, NormKind, make_norm
from ssl3d.sparse.layers.one_site import OneSiteError
from ssl3d.sparse.layers.patch_up import PatchUp
from ssl3d.sparse.layers.pointwise import Activation, Linear, elementwise, on_channels
from ssl3d.sparse.layers.pool import AvgPool3d, Interpolate, MaxPool3d

__all__ = [
    "Activation",
    "AvgPool3d",
    "BatchNorm",
    "Conv3d",
    "ConvTranspose3d",
    "Densify",
    "DropPath",
    "InstanceNorm",
    "Interpolate",
    "LayerNorm",
    "Linear",
    "MaxPool3d",
    "NormKind",
    "OneSiteError",
    "PatchUp",
    "elementwise",
    "make_norm",
    "on_channels",
    "rising",
]
