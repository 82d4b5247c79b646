"""Weights of WaveFormer's public network (github.com/mahfuzalhasan/WaveFormer), by our names.

Encoder and decoder are one module there and two here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from ssl3d.weights import TransferReport, transfer

ENCODER = "waveformer_encoder."
INDEX = "*.relative_position_index"
"""A table that follows from the window."""

Rules = tuple[tuple[str, str, int], ...]
"""How a name begins there and here; `{}` is the number in it, less the third."""

OF_ENCODER: Rules = (
    (r"patch_embed\.proj\.", "layers.0.reduce.", 0),
    (r"downsample_(\d)\.norm\.", "layers.{}.reduce.norm.", 0),
    (r"downsample_(\d)\.reduction\.", "layers.{}.reduce.linear.", 0),
)
OF_BLOCK: Rules = (
    (r"norm1\.", "mixer.norm.", 0),
    (r"attn\.qkv\.", "mixer.attention.qkv.", 0),
    (r"attn\.proj\.", "mixer.attention.out.", 0),
    (r"attn\.relative_position_bias_table", "mixer.attention.bias.bias", 0),
    (r"norm2\.", "ffn.norm.", 0),
    (r"mlp\.pwconv\.", "ffn.wide.", 0),
    (r"mlp\.dwconv\.", "ffn.depthwise.", 0),
    (r"mlp\.fc\.", "ffn.narrow.", 0),
    (r"mlp\.norm1\.", "ffn.inner.0.", 0),
    (r"mlp\.norm2\.", "ffn.inner.1.", 0),
)
OF_DECODER: Rules = (
    (r"encoder1\.layer\.", "stem.", 0),
    (r"encoder10\.", "recalibrate.", 0),
    (r"encoder(\d)\.layer\.", "skips.{}.", 2),
    (r"decoder1\.transp_conv\.conv\.", "up.", 0),
    (r"decoder1\.conv_block\.", "last.", 0),
    (r"decoder(\d)\.hf_ref\.", "branches.{}.refine.", 2),
    (r"decoder(\d)\.conv_lf_block\.conv\.", "branches.{}.smooth.", 2),
    (r"decoder(\d)\.conv_block\.", "branches.{}.block.", 2),
    (r"learnable_up(\d)\.conv1\.1\.", "ups.{}.depthwise.", 3),
    (r"learnable_up(\d)\.conv2\.", "ups.{}.wide.", 3),
    (r"learnable_up(\d)\.conv3\.(?=\d)", "ups.{}.narrow.", 3),
    (r"learnable_up(\d)\.conv3\.", "ups.{}.narrow.0.", 3),
    (r"learnable_up(\d)\.norm\.", "ups.{}.norm.", 3),
    (r"learnable_up(\d)\.res_conv\.1\.", "ups.{}.residual.", 3),
    (r"out\.conv\.conv\.", "head.", 0),
)


def is_published(weights: Mapping[str, Tensor]) -> bool:
    """True where some names are those of the public network's encoder."""
    return any(name.startswith(ENCODER) for name in weights)


def encoder_from_published(weights: Mapping[str, Tensor], *, backbone: nn.Module) -> TransferReport:
    """Fill a `waveformer` backbone with `published=True` from the public network's state dict.

    Raises:
        ValueError: a tensor of either encoder has no partner of its shape in the other; names
            them all.
    """
    named, others = {}, []
    for name, value in weights.items():
        own = name.removeprefix(ENCODER)
        block = re.match(r"block(\d)\.(\d+)\.", own)
        if own == name:
            others.append(name)
        elif block is None:
            own = _renamed(own, rules=OF_ENCODER)
        else:
            rest = _renamed(own[block.end() :], rules=OF_BLOCK)
            own = f"layers.{int(block[1]) - 1}.blocks.{block[2]}.{rest}"
        # A pointwise convolution is a linear map.
        named[own] = value.flatten(1) if own.endswith("ffn.wide.weight") else value
    return transfer(named, backbone, allow_unexpected=(INDEX, *others))


def decoder_from_published(
    weights: Mapping[str, Tensor], *, decoder: nn.Module, allow_missing: Iterable[str] = ()
) -> TransferReport:
    """Fill a `waveformer` decoder from the public network's state dict.

    Args:
        weights: of the whole network.
        decoder: what is filled.
        allow_missing: patterns of names that keep their values, such as `decoder.heads` for
            another task.

    Raises:
        ValueError: a tensor of either decoder has no partner of its shape in the other; names
            them all.
    """
    named = {}
    for name, value in weights.items():
        own = _renamed(name, rules=OF_DECODER)
        own = re.sub(r"(^|\.)conv3\.conv\.", r"\1project.", own)
        named[re.sub(r"(^|\.)(conv[12])\.conv\.", r"\1\2.", own)] = value
    return transfer(named, decoder, allow_missing=allow_missing, allow_unexpected=(f"{ENCODER}*",))


def _renamed(name: str, *, rules: Rules) -> str:
    """The name by the first rule that fits, or as it is."""
    for there, here, less in rules:
        found = re.match(there, name)
        if found is not None:
            numbers = [int(number) - less for number in found.groups()]
            return here.format(*numbers) + name[found.end() :]
    return name
