"""Weights to and from `PrimusS` … `PrimusL` of dynamic_network_architectures.

The encoder's tensors have the same names in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from ssl3d.geometry import Triple, product, show
from ssl3d.weights import TransferReport, transfer
from ssl3d.weights.adapt import resized_positions

TABLE = "eva.pos_embed"
"""The learned table of positions, (1, N, C)."""
EMBEDDING = "down_projection.proj.weight"
"""The patch embedding, (O, I, kz, ky, kx)."""
BESIDE = ("up_projection.*", "decoder.*", "mask_token")
"""What their networks have besides the encoder: of fine-tuning, and of nnssl's pre-training."""


def to_package(
    backbone: nn.Module, *, network: nn.Module, grids: tuple[Triple, Triple] | None = None
) -> TransferReport:
    """Fill the encoder of a `Primus` network from a `primus` backbone; no other weights.

    Args:
        backbone: with what is copied.
        network: what is filled.
        grids: tokens per axis (z, y, x) of the tables of both, where the network's is another
            than the backbone's: its own is interpolated.

    Raises:
        ValueError: a tensor of either encoder has no partner of its shape in the other; names
            them all.
    """
    source = dict(backbone.state_dict())
    if grids is not None:
        source[TABLE] = resized_positions(source[TABLE], grids=grids)
    return transfer(source, network, allow_missing=BESIDE)


def from_package(
    weights: Mapping[str, Tensor],
    *,
    backbone: nn.Module,
    grid: Triple | None = None,
    average_inputs: bool = False,
) -> TransferReport:
    """Fill a `primus` backbone from the state dict of a Primus network.

    Args:
        weights: `network_weights` of a checkpoint, as `read_weights` gives them.
        backbone: what is filled.
        grid: tokens per axis (z, y, x) of the weights' table of positions, which they do not say;
            none: as the backbone's where there are as many, else a cube.
        average_inputs: True lets the backbone have another number of input channels than the
            weights: the patch embedding is averaged over them. The report says so.

    Raises:
        ValueError: a tensor of either encoder has no partner of its shape in the other; names
            them all.
    """
    source, own = dict(weights), backbone.state_dict()[TABLE]
    resized: dict[str, str] = {}
    table = source.get(TABLE, own)
    if table.dim() == own.dim() and table.shape[1:] != own.shape[1:]:
        wanted: Triple = backbone.get_submodule("eva").grid  # type: ignore[assignment]
        given = grid or _cube(source[TABLE].shape[1])
        if product(given) == source[TABLE].shape[1]:
            source[TABLE] = resized_positions(source[TABLE], grids=(given, wanted))
            resized[TABLE] = f"{show(given)} tokens to {show(wanted)}"
    embedding = EMBEDDING if average_inputs else None
    try:
        report = transfer(source, backbone, allow_unexpected=BESIDE, average_inputs=embedding)
    except ValueError as error:
        raise ValueError(f"{error}{_about_inputs(source, backbone=backbone)}") from error
    return replace(report, resized=resized)


def _cube(tokens: int) -> Triple:
    """The cube of this many tokens; of fewer where there is none."""
    edge = round(tokens ** (1 / 3))
    return (edge, edge, edge)


def _about_inputs(source: Mapping[str, Tensor], *, backbone: nn.Module) -> str:
    """What to do where the patch embeddings differ in their input channels only, or nothing."""
    if EMBEDDING not in source:
        return ""
    given, own = source[EMBEDDING].shape, backbone.state_dict()[EMBEDDING].shape
    others = (given[:1] + given[2:], own[:1] + own[2:])
    if given == own or others[0] != others[1]:
        return ""
    return (
        f".\nInput channels: {given[1]} in the weights, {own[1]} in this encoder. "
        "ssl3d_plugins.primus.package.from_package(weights, backbone=backbone, "
        "average_inputs=True) averages the patch embedding over them"
    )
