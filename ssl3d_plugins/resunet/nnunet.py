"""Weights to and from nnU-Net's `ResidualEncoderUNet`.

The encoder's tensors have the same names in both. nnU-Net's network lists each of them up to four
times: a convolution is also an entry of its block's `all_modules`, and the decoder holds the whole
encoder once more.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ssl3d.weights import TransferReport, transfer

STEM = "encoder.stem.convs.0.conv.weight"
"""The first convolution, (O, I, kz, ky, kx)."""


def to_nnunet(backbone: nn.Module, *, network: nn.Module) -> TransferReport:
    """Fill the encoder of a `ResidualEncoderUNet` from a `resunet` backbone; no other weights.

    To fine-tune with nnU-Net's own trainer, save `{"network_weights": network.state_dict()}` and
    name the file as its pre-trained weights.

    Raises:
        ValueError: a tensor of either encoder has no partner of its shape in the other; names
            them all.
    """
    return transfer(backbone.state_dict(), network, allow_missing=("decoder.*",))


def from_nnunet(
    weights: Mapping[str, Tensor], *, backbone: nn.Module, average_inputs: bool = False
) -> TransferReport:
    """Fill a `resunet` backbone from the state dict of a `ResidualEncoderUNet`.

    Args:
        weights: `network_weights` of an nnU-Net checkpoint, as `read_weights` gives them.
        backbone: what is filled.
        average_inputs: True lets the backbone have another number of input channels than the
            weights: the first convolution is averaged over them. The report says so.

    Raises:
        ValueError: a tensor of either encoder has no partner of its shape in the other; names
            them all.
    """
    source = {name: value for name, value in weights.items() if not _is_alias(name)}
    stem = STEM if average_inputs else None
    try:
        return transfer(source, backbone, allow_unexpected=("decoder.*",), average_inputs=stem)
    except ValueError as error:
        raise ValueError(f"{error}{_about_inputs(source, backbone=backbone)}") from error


def _about_inputs(source: Mapping[str, Tensor], *, backbone: nn.Module) -> str:
    """What to do where the first convolutions differ in their input channels only, or nothing."""
    if STEM not in source:
        return ""
    given, own = source[STEM].shape, backbone.state_dict()[STEM].shape
    others = (given[:1] + given[2:], own[:1] + own[2:])
    if given == own or others[0] != others[1]:
        return ""
    return (
        f".\nInput channels: {given[1]} in the weights, {own[1]} in this encoder. "
        "ssl3d_plugins.resunet.nnunet.from_nnunet(weights, backbone=backbone, average_inputs=True) "
        "averages the first convolution over them"
    )


def _is_alias(name: str) -> bool:
    """True for a second name of a tensor of the encoder."""
    return name.startswith("decoder.encoder.") or (
        name.startswith("encoder.") and ".all_modules." in name
    )
