"""A state dict that MONAI's own network loads: the encoder's part of it."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets.segresnet import SegResNet
from torch import Tensor, nn

from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.export_config import Written
from ssl3d_plugins.monai_encoders.config import Monai
from ssl3d_plugins.monai_encoders.export_config import ToMonai

FILE = "monai.pth"
RESNET_STAGES = ("act", "layer1", "layer2", "layer3", "layer4")


def write(
    config: ToMonai,  # noqa: ARG001
    *,
    encoder: Backbone,
    backbone: Monai,
    about: Mapping[str, Any],
    out: Path,
) -> Written:
    """Named tensors, by MONAI's names and nothing else."""
    options = backbone.network
    arguments = options.arguments(in_channels=int(about["in_channels"]))
    torch.save(encoder.get_submodule("network").state_dict(), out / FILE)
    if options.name == "segresnet":
        arguments["blocks_up"] = [1] * (len(options.blocks_down) - 1)
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = pkgutil.resolve_name(options.whole)(**arguments)
    result = network.load_state_dict(torch.load(out / FILE, weights_only=True), strict=False)
    left = [n for n in result.missing_keys if not any(fnmatchcase(n, p) for p in options.unused)]
    assert not left, f"MONAI's network lacks {left}"
    assert not result.unexpected_keys, f"MONAI's network does not know {result.unexpected_keys}"
    name = options.whole.replace(":", ".")
    return Written(
        MonaiFeatures(network.eval(), stages=len(options.stages())),
        card={
            "network": {"class": name, "arguments": arguments},
            "initial": list(options.unused),
            "use": f"network.load_state_dict(torch.load({FILE!r}, weights_only=True), "
            "strict=False)",
        },
        notes=(
            f"Make {name} with the arguments that the card has and with those of your decoder or "
            f"head: the file has none, so load with strict=False; {', '.join(options.unused)} keep "
            "their initial values",
            "MONAI reads volumes with axes x, y, z; this encoder has seen z, y, x, in RAS: "
            "transpose them (Orientationd('RAS'), then Transposed(indices=(0, 3, 2, 1)))",
        ),
    )


class MonaiFeatures:
    """The feature maps of MONAI's whole network, which for a ResNet it does not give by itself."""

    def __init__(self, network: nn.Module, *, stages: int) -> None:
        self._network = network
        self._stages = stages

    def __call__(self, volume: Tensor) -> list[Tensor]:
        """(B, C, D, H, W) to one map for each stage, fine to coarse."""
        if isinstance(self._network, SegResNet):
            return self._network.encode(volume)[1]
        seen: list[Tensor] = []

        def keep(_module: nn.Module, _given: Any, result: Tensor) -> None:
            seen.append(result.clone())

        names = RESNET_STAGES[-self._stages :]
        hooks = [self._network.get_submodule(n).register_forward_hook(keep) for n in names]
        self._network(volume)
        for hook in hooks:
            hook.remove()
        return seen
