"""Whole segmentation networks side by side, dense: time, peak memory, parameters, operations.

Encoders of this project with the decoders that fine-tuning gives them, against MONAI's SwinUNETR
(feature size 48) and UNETR. Inference and a training step (forward, backward, AdamW) take turns in
one process; memory is taken in a process of its own each. Operations are those that torch counts in
matrix products, convolutions and attention, two for each multiplication with its addition. A run
that was stopped goes on where it was when it is started again with the same arguments.

    pip install --no-deps einops==0.8.2  # which SwinUNETR needs
    python benchmarks/networks.py --out benchmarks/results/networks.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import interleaved, machine, median, peak_memory, wide_console, write_json
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unetr import UNETR
from rich.table import Column, Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ssl3d.plugin.registry import installed
from ssl3d.tasks.finetune.build import build_model
from ssl3d.tasks.finetune.recipe import Recipe
from ssl3d_plugins.primus import Primus
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.tasks import Segmentation
from ssl3d_plugins.waveformer import WaveFormer

AGAINST = "SwinUNETR 48"
PARTS = ("inference", "training step")
PAPER_DECODER = "waveformer"
"""The published decoder, where this version has it."""


class Whole(nn.Module):
    """A backbone and a decoder, as fine-tuning joins them."""

    def __init__(self, backbone: Any, *, channels: int, classes: int, decoder: str) -> None:
        super().__init__()
        self.model = build_model(
            backbone.build(in_channels=channels),
            task=Segmentation(labels={f"label {i}": i for i in range(1, classes)}),
            decoder=installed().config("decoder", name=decoder)(),
            recipe=Recipe(name="scratch"),
            steps=1,
            samples_per_step=1,
        )

    def forward(self, volume: Tensor) -> Tensor:
        # The loss is not of interest, and the same for MONAI's networks.
        return self.model._crops(volume, None, learn=torch.is_grad_enabled())[0]


def decoder_of_paper() -> str:
    return PAPER_DECODER if PAPER_DECODER in installed().names("decoder") else "unet"


def networks(args: argparse.Namespace, *, edge: int) -> dict[str, Callable[[], nn.Module]]:
    """Each by its name, not made yet."""
    given = {"channels": args.channels, "classes": args.classes}
    ours = {
        "waveformer blueprint + unet": (WaveFormer(preset="blueprint"), "unet"),
        f"waveformer paper + {decoder_of_paper()}": (
            WaveFormer(preset="paper"),
            decoder_of_paper(),
        ),
        "resunet M + unet": (ResUNet(size="M"), "unet"),
        "primus S + patch": (Primus(size="S", volume=(edge, edge, edge)), "patch"),
    }
    return {
        **{
            name: lambda backbone=backbone, decoder=decoder: Whole(
                backbone, decoder=decoder, **given
            )
            for name, (backbone, decoder) in ours.items()
        },
        AGAINST: lambda: SwinUNETR(
            in_channels=args.channels, out_channels=args.classes, feature_size=48
        ),
        "UNETR": lambda: UNETR(
            in_channels=args.channels, out_channels=args.classes, img_size=(edge, edge, edge)
        ),
    }


class Trial:
    """One network on one volume of noise."""

    def __init__(self, args: argparse.Namespace, name: str, *, edge: int) -> None:
        self.device = torch.device(args.device)
        torch.manual_seed(0)
        self.network = networks(args, edge=edge)[name]().to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4)
        self.volume = torch.randn(1, args.channels, *(edge,) * 3, device=self.device)
        self.precision = torch.autocast(self.device.type, torch.bfloat16, enabled=args.bf16)

    def run(self, part: str) -> None:
        """Inference, or a training step."""
        training = part == "training step"
        self.network.train(training)
        with torch.set_grad_enabled(training), self.precision:
            out = self.network(self.volume)
        if training:
            out.float().square().mean().backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


def size_of(args: argparse.Namespace, name: str, *, edge: int) -> dict[str, float]:
    """Parameters, and operations of one inference, counted on a device that computes nothing."""
    network = networks(args, edge=edge)[name]().eval().to("meta")
    volume = torch.empty(1, args.channels, *(edge,) * 3, device="meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(volume)
    parameters = sum(p.numel() for p in network.parameters())
    return {"parameters": parameters, "operations": counter.get_total_flops()}


def time_all(args: argparse.Namespace, *, edge: int) -> dict[str, dict[str, float]]:
    """Seconds of each network and part; runs in a child process."""
    result: dict[str, dict[str, float]] = {name: {} for name in args.networks}
    trials = {name: Trial(args, name, edge=edge) for name in args.networks}
    for part in args.parts:
        runs = {
            name: lambda trial=trial, part=part: trial.run(part) for name, trial in trials.items()
        }
        seconds = interleaved(runs, rounds=args.rounds, device=torch.device(args.device))
        for name, values in seconds.items():
            result[name][part] = median(values)
    return result


def memory_of(args: argparse.Namespace, name: str, part: str, *, edge: int) -> float:
    """Peak bytes above the network itself; runs in a child process."""
    trial = Trial(args, name, edge=edge)
    return peak_memory(lambda: trial.run(part), device=trial.device)


def child(*mode: str) -> Any:
    """This script again, in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", *mode]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def earlier(args: argparse.Namespace) -> dict[str, Any]:
    """What `--out` holds of a run with the same arguments on the same machine, or nothing yet."""
    arguments = {k: v for k, v in vars(args).items() if k not in ("out", "child")}
    result = {"machine": machine(torch.device(args.device)), "arguments": arguments, "edges": {}}
    if args.out and args.out.exists():
        found: dict[str, Any] = json.loads(args.out.read_text())
        if all(found.get(key) == result[key] for key in ("machine", "arguments")):
            return found
    return result


def measure(args: argparse.Namespace, result: dict[str, Any]) -> None:
    """Fill in what is missing, and write it after each part."""

    def save() -> None:
        if args.out:
            write_json(args.out, result)

    for edge in args.edges:
        at = result["edges"].setdefault(str(edge), {"sizes": {}, "bytes": {}})
        for name in args.networks:
            if name not in at["sizes"]:
                at["sizes"][name] = size_of(args, name, edge=edge)
        save()
        if "seconds" not in at:
            at["seconds"] = child("time", str(edge))
            save()
        for name in args.networks:
            for part in args.parts:
                peaks = at["bytes"].setdefault(name, {})
                if part not in peaks:
                    peaks[part] = child("memory", str(edge), name, part)
                    save()


def show(args: argparse.Namespace, result: dict[str, Any]) -> None:
    """A table for each edge: numbers, and in brackets their ratio to SwinUNETR's."""
    for edge, at in result["edges"].items():
        columns = [f"{part}, {what}" for part in args.parts for what in ("s", "MiB")]
        name = Column("network", no_wrap=True)
        table = Table(name, "parameters, M", "10⁹ operations", *columns, title=f"{edge}³")
        for network in args.networks:
            rows = [(at["sizes"], "parameters", 1e6), (at["sizes"], "operations", 1e9)]
            for part in args.parts:
                rows += [(at["seconds"], part, 1), (at["bytes"], part, 2**20)]
            cells = []
            for values, key, unit in rows:
                base = values.get(AGAINST, {}).get(key)
                ratio = f" ({values[network][key] / base:.2f})" if base else ""
                cells.append(f"{values[network][key] / unit:,.3g}{ratio}")
            table.add_row(network, *cells)
        wide_console().print(table)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=int, nargs="+", default=[96, 128])
    parser.add_argument("--networks", nargs="+", default=None, help="names; default: all")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    names = list(networks(args, edge=args.edges[0]))
    unknown = [name for name in args.networks or () if name not in names]
    if unknown:
        parser.error(f"--networks: {', '.join(unknown)}: there is {', '.join(names)}")
    args.networks = args.networks or names
    if args.child:
        what, edge, *rest = args.child
        found: Any = (
            time_all(args, edge=int(edge))
            if what == "time"
            else memory_of(args, *rest, edge=int(edge))
        )
        print(json.dumps(found))
        return
    result = earlier(args)
    measure(args, result)
    show(args, result)


if __name__ == "__main__":
    main()
