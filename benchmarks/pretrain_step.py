"""Time and memory of one pre-training step: visible cells only against the dense baseline.

Encoder, decoder and the whole step (forward, backward, optimizer), interleaved in one process, with
the default allocator and with its page faults removed; memory in a process of its own each.

    python benchmarks/pretrain_step.py --out benchmarks/results/pretrain_step.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import ALLOCATORS, interleaved, machine, median, peak_memory, write_json
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ssl3d import ExperimentSpec
from ssl3d.pretrain import PretrainModel
from ssl3d.volume import CellGrid, SparseVolume

FORMS = ("visible", "zeroed", "zeroed, channels-last")


def spec_of(args: argparse.Namespace, form: str) -> ExperimentSpec:
    return ExperimentSpec(
        backbone=json.loads(args.backbone) if args.backbone.startswith("{") else args.backbone,
        sparse_backend=args.backend,
        masker={"name": "random", "ratio": 0.6},
        encoder_input="visible" if form == "visible" else "zeroed",
        data={"volumes": "none", "patch": args.patch, "batch_size": args.batch},
        decoder={} if args.head_stride is None else {"head_stride": args.head_stride},
    )


class Step:
    """One model with its optimizer and a fixed batch."""

    def __init__(self, args: argparse.Namespace, form: str, hidden: float) -> None:
        device = torch.device(args.device)
        spec = spec_of(args, form)
        self.model: PretrainModel = spec.build().to(device)
        if form.endswith("channels-last"):
            self.model = self.model.to(memory_format=torch.channels_last_3d)
        self.layout = (
            torch.channels_last_3d if form.endswith("channels-last") else torch.contiguous_format
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        generator = torch.Generator().manual_seed(0)
        shape = (args.batch, 1, *args.patch)
        self.volume = torch.rand(shape, generator=generator).to(device)
        grid = tuple(p // c for p, c in zip(args.patch, self.model.cell, strict=True))
        n = grid[0] * grid[1] * grid[2]
        order = torch.rand(args.batch, n, generator=generator).argsort(1)
        self.hidden = (order < round(hidden * n)).view(args.batch, *grid).to(device)
        self.precision = torch.autocast(device.type, torch.bfloat16, enabled=args.bf16)
        self.features: list[Any] = []

    def _input(self) -> Any:
        cells = CellGrid(~self.hidden, cell=self.model.cell)
        visible = SparseVolume.from_dense(self.volume, cells=cells, backend=self.model.backend)
        if self.model.encoder_input == "visible":
            return visible
        return visible.to_dense().contiguous(memory_format=self.layout)

    def encoder(self) -> None:
        with self.precision:
            stages = self.model.backbone(self._input())
        tensors = [s.features if isinstance(s, SparseVolume) else s for s in stages]
        torch.autograd.backward(tensors, [torch.ones_like(t) for t in tensors])
        self.model.zero_grad(set_to_none=True)

    def prepare_decoder(self) -> None:
        with torch.no_grad(), self.precision:
            self.features = list(self.model.backbone(self._input()))

    def decoder(self) -> None:
        def leaf(x: Any) -> Any:
            if isinstance(x, SparseVolume):
                return x.with_features(x.features.detach().requires_grad_())
            return x.detach().requires_grad_()

        with self.precision:
            out: Tensor = self.model.decoder([leaf(x) for x in self.features])
        out.backward(torch.ones_like(out))
        self.model.zero_grad(set_to_none=True)

    def whole(self) -> None:
        with self.precision:
            out = self.model(self.volume, hidden=self.hidden)
        out.loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def time_all(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each part and form at each hidden share; runs in a child process."""
    device = torch.device(args.device)
    result: dict[str, Any] = {}
    for hidden in args.hidden:
        steps = {form: Step(args, form, hidden) for form in FORMS}
        for step in steps.values():
            step.prepare_decoder()
        result[str(hidden)] = {}
        for part in ("encoder", "decoder", "whole"):
            runs: dict[str, Callable[[], object]] = {
                form: getattr(step, part) for form, step in steps.items()
            }
            seconds = interleaved(runs, rounds=args.rounds, device=device)
            result[str(hidden)][part] = {form: median(s) for form, s in seconds.items()}
    return result


def memory_of(args: argparse.Namespace, form: str, hidden: float) -> float:
    """Peak bytes of a whole step above the model itself; runs in a child process."""
    step = Step(args, form, hidden)
    return peak_memory(step.whole, device=torch.device(args.device))


def child(mode: list[str], *, allocator: str) -> Any:
    """This script again, in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], *mode]
    environment = {**os.environ, **ALLOCATORS[allocator]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def largest_patch(args: argparse.Namespace, form: str, hidden: float) -> dict[str, float]:
    """Edge of the largest cubic patch whose step peaks below `--fit`, and its peak in bytes."""
    cell = max(spec_of(args, form).cell_size)
    found: dict[str, float] = {"edge": 0, "bytes": 0}
    for edge in range(2 * cell, args.fit_up_to + 1, cell):
        mode = ["--patch", *[str(edge)] * 3, "--child", form, str(hidden)]
        peak = child(mode, allocator="default")
        if peak > args.fit * 2**30:
            break
        found = {"edge": edge, "bytes": peak}
    return found


def best_dense(values: dict[str, float]) -> float:
    """The faster, or smaller, of the dense forms."""
    return min(value for form, value in values.items() if form != "visible")


def show(result: dict[str, Any], console: Console) -> None:
    table = Table("allocator", "hidden", "part", *FORMS, "visible / best dense", title="seconds")
    for allocator, by_hidden in result["seconds"].items():
        for hidden, parts in by_hidden.items():
            for part, values in parts.items():
                ratio = values["visible"] / best_dense(values)
                numbers = [f"{values[form]:.3f}" for form in FORMS]
                table.add_row(allocator, hidden, part, *numbers, f"{ratio:.2f}")
            share = parts["decoder"]["visible"] / best_dense(parts["encoder"])
            table.add_row(allocator, hidden, "decoder / dense encoder", "", "", "", f"{share:.2f}")
    console.print(table)
    memory = Table("hidden", *FORMS, "visible / best dense", title="peak memory of a step, MiB")
    for hidden, values in result["bytes"].items():
        numbers = [f"{values[form] / 2**20:.0f}" for form in FORMS]
        memory.add_row(hidden, *numbers, f"{values['visible'] / best_dense(values):.2f}")
    console.print(memory)
    for hidden, sizes in result.get("largest_patch", {}).items():
        edges = ", ".join(f"{form}: {size['edge']:.0f}³" for form, size in sizes.items())
        limit = result["arguments"]["fit"]
        console.print(f"largest patch within {limit:g} GiB at {float(hidden):.0%} hidden: {edges}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="waveformer", help="name, or JSON with options")
    parser.add_argument("--backend", default="cells")
    parser.add_argument("--patch", type=int, nargs=3, default=[96, 96, 96])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--hidden", type=float, nargs="+", default=[0.6, 0.75])
    parser.add_argument("--head-stride", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--allocators", nargs="+", default=list(ALLOCATORS))
    parser.add_argument("--fit", type=float, default=0, help="GiB: find the largest patch in it")
    parser.add_argument("--fit-up-to", type=int, default=192, help="largest edge to try, in voxels")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--child", nargs="+", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child == ["time"]:
        print(json.dumps(time_all(args)))
        return
    if args.child:
        print(json.dumps(memory_of(args, args.child[0], float(args.child[1]))))
        return
    console = Console()
    result: dict[str, Any] = {
        "machine": machine(torch.device(args.device)),
        "arguments": {k: v for k, v in vars(args).items() if k not in ("out", "child")},
        "allocators": {name: ALLOCATORS[name] for name in args.allocators},
        "seconds": {},
        "bytes": {},
    }
    for allocator in args.allocators:
        with console.status(f"timing, allocator: {allocator}"):
            result["seconds"][allocator] = child(["--child", "time"], allocator=allocator)
    for hidden in args.hidden:
        with console.status(f"memory at {hidden:.0%} hidden"):
            result["bytes"][str(hidden)] = {
                form: child(["--child", form, str(hidden)], allocator="default") for form in FORMS
            }
    if args.fit:
        with console.status("largest patch"):
            result["largest_patch"] = {
                str(hidden): {form: largest_patch(args, form, hidden) for form in FORMS[:2]}
                for hidden in args.hidden
            }
    show(result, console)
    if args.out:
        write_json(args.out, result)
        console.print(f"written: {args.out}")


if __name__ == "__main__":
    main()
