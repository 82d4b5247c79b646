"""Prints what Primus of dynamic_network_architectures gives; run where timm can be imported.

PYTHONPATH=tests:folder-with-timm-and-einops python tests/primus/public_primus.py numbers
"""

from __future__ import annotations

import sys
from pathlib import Path

import stub_torchvision  # noqa: F401  (stands in for it before timm is imported)
import torch
from dynamic_network_architectures.architectures import primus
from formula import fill, probes, wave

SMALL = {
    "embed_dim": 24,
    "patch_embed_size": (8, 8, 8),
    "eva_depth": 2,
    "eva_numheads": 2,
    "init_values": 0.1,
    "scale_attn_inner": True,
}


def features(network: torch.nn.Module, volume: torch.Tensor) -> torch.Tensor:
    """(B, C, d, h, w): what the blocks make of the embedded patches."""
    x = network.down_projection(volume)
    rows, _ = network.eva(x.flatten(2).transpose(1, 2))
    return rows.transpose(1, 2).view_as(x)


def small(size: tuple[int, int, int]) -> torch.nn.Module:
    """A small network with weights from the formula."""
    network = primus.Primus(2, num_classes=3, input_shape=size, **SMALL)
    return fill(network).eval()


def numbers() -> None:
    """Those that tests hold as constants."""
    volume = wave((2, 2, 16, 32, 24), number=3).requires_grad_()
    network = small((16, 32, 24))
    made = features(network, volume)
    print("features", probes(made))
    made.square().mean().backward()
    print("gradient of the volume", probes(volume.grad))
    for name in ("eva.pos_embed", "eva.blocks.0.attn.q_proj.weight", "eva.blocks.1.mlp.fc2.weight"):
        print(f"gradient of {name}", probes(network.get_parameter(name).grad))
    print("output", probes(network(volume)))


def compare(file: str) -> None:
    """Features of a whole PrimusS with its own initial values, its weights, and a volume."""
    torch.manual_seed(0)
    network = primus.PrimusS(1, 2, (8, 8, 8), (32, 48, 40)).eval()
    volume = torch.randn(2, 1, 32, 48, 40)
    with torch.no_grad():
        made = features(network, volume)
    content = {"network_weights": network.state_dict(), "volume": volume, "features": made}
    torch.save(content | {"output": network(volume).detach()}, file)


def load(file: str) -> None:
    """Into PrimusS strictly, all that is the encoder's; features of a volume."""
    content = torch.load(file, weights_only=True)
    plan, weights = content["nnssl_adaptation_plan"], content["network_weights"]
    (configuration,) = plan["pretrain_plan"]["configurations"].values()
    made_by = getattr(primus, plan["architecture_plans"]["arch_class_name"])
    network = made_by(
        plan["pretrain_num_input_channels"], 2, (8, 8, 8), tuple(configuration["patch_size"])
    ).eval()
    for key in (plan["key_to_encoder"], plan["key_to_stem"]):
        part = {n[len(key) + 1 :]: v for n, v in weights.items() if n.startswith(f"{key}.")}
        network.get_submodule(key).load_state_dict(part, strict=True)
    volume = torch.randn(
        1, 1, *configuration["patch_size"], generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        made = features(network, volume)
    torch.save({"features": made}, Path(file).with_suffix(".features"))


if __name__ == "__main__":
    {"numbers": numbers, "compare": compare, "load": load}[sys.argv[1]](*sys.argv[2:])
