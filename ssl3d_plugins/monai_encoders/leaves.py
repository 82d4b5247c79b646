"""The closed list of modules that have a form on visible cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn import functional as F

from ssl3d.geometry import Triple, as_triple
from ssl3d.sparse import SparseVolume
from ssl3d.sparse.layers import BatchNorm, InstanceNorm
from ssl3d_plugins.monai_encoders.group_norm import GroupNorm

Leaf = Callable[[Any, SparseVolume], SparseVolume]


def _convolve(layer: nn.Conv3d, x: SparseVolume) -> SparseVolume:
    return x.backend.conv3d(
        x,
        layer.weight,
        layer.bias,
        stride=_triple(layer.stride),
        padding=_triple(layer.padding),
        groups=layer.groups,
    )


def _max_pool(layer: nn.MaxPool3d, x: SparseVolume) -> SparseVolume:
    return x.backend.max_pool3d(
        x,
        kernel=_triple(layer.kernel_size),
        stride=_triple(layer.stride),
        padding=_triple(layer.padding),
    )


def _avg_pool(layer: nn.AvgPool3d, x: SparseVolume) -> SparseVolume:
    return x.backend.avg_pool3d(
        x,
        kernel=_triple(layer.kernel_size),
        stride=_triple(layer.stride),
        padding=_triple(layer.padding),
    )


def _elementwise(layer: nn.Module, x: SparseVolume) -> SparseVolume:
    return x.map(layer)


# Never in place, whatever the layer says: visible cells are a view of rows, where that costs a
# copy of the gradient.


def _relu(_: nn.ReLU, x: SparseVolume) -> SparseVolume:
    return x.map(F.relu)


def _leaky_relu(layer: nn.LeakyReLU, x: SparseVolume) -> SparseVolume:
    return x.map(lambda features: F.leaky_relu(features, layer.negative_slope))


def _elu(layer: nn.ELU, x: SparseVolume) -> SparseVolume:
    return x.map(lambda features: F.elu(features, layer.alpha))


def _visible(layer: nn.Module, x: SparseVolume) -> SparseVolume:
    """The layer itself knows visible cells."""
    result: SparseVolume = layer(x)
    return result


def _triple(value: Any) -> Triple:
    z, y, x = as_triple(value)
    return (z, y, x)


LEAVES: dict[type[nn.Module], Leaf] = {
    nn.Conv3d: _convolve,
    nn.MaxPool3d: _max_pool,
    nn.AvgPool3d: _avg_pool,
    nn.Identity: _elementwise,
    nn.ReLU: _relu,
    nn.LeakyReLU: _leaky_relu,
    nn.ELU: _elu,
    nn.GELU: _elementwise,
    BatchNorm: _visible,
    InstanceNorm: _visible,
    GroupNorm: _visible,
}
"""Module type to its form on visible cells. A subclass is another type: it may compute anything."""

PLAIN: dict[type[nn.Module], dict[str, Any]] = {
    nn.Conv3d: {"dilation": (1, 1, 1), "padding_mode": "zeros"},
    nn.MaxPool3d: {"dilation": 1, "return_indices": False, "ceil_mode": False},
    nn.AvgPool3d: {"ceil_mode": False, "count_include_pad": True, "divisor_override": None},
}
"""Settings that a form does not have: they must keep these values."""


def problem_of(module: nn.Module) -> str | None:
    """Why a module has no form on visible cells, or None when it has one."""
    kind = type(module)
    if kind not in LEAVES:
        known = ", ".join(sorted(leaf.__name__ for leaf in LEAVES))
        return f"{kind.__name__} has no form on visible cells; known are {known}"
    for setting, allowed in PLAIN.get(kind, {}).items():
        if getattr(module, setting) != allowed:
            return f"{kind.__name__} has {setting}={getattr(module, setting)!r}, not {allowed!r}"
    if isinstance(getattr(module, "padding", 0), str):
        return f"{kind.__name__} has padding={module.padding!r}: give it as numbers"
    return None


def see_visible_only(network: nn.Module) -> None:
    """Replace torch's norms by this project's, with the same parameters and statistics."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            norm = _visible_norm(child)
            if norm is not None:
                # The same tensors, not copies: precision, device and state dict stay.
                norm.load_state_dict(child.state_dict(keep_vars=True), assign=True)
                norm.train(child.training)
                setattr(parent, name, norm)


def _visible_norm(norm: nn.Module) -> nn.Module | None:
    if type(norm) is nn.BatchNorm3d and norm.affine and norm.track_running_stats:
        return BatchNorm(norm.num_features, norm.eps, norm.momentum)
    if type(norm) is nn.InstanceNorm3d and norm.affine and not norm.track_running_stats:
        return InstanceNorm(norm.num_features, eps=norm.eps)
    if type(norm) is nn.GroupNorm:
        return GroupNorm(norm.num_groups, norm.num_channels, norm.eps, norm.affine)
    return None
