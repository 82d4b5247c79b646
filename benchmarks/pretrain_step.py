"""Time and memory of one pre-training step: visible cells only against the dense baseline.

Encoder, decoder and the whole step (forward, backward, optimizer), interleaved in one process, with
the default allocator and with its page faults removed; memory in a process of its own each. Views
(what is hidden, and which cells are visible) are made before, as loading processes do, and timed
apart. A run that was stopped goes on where it was when it is started again with the same arguments.

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
from measure import ALLOCATORS, interleaved, machine, median, peak_memory, wide_console, write_json
from rich.console import Console
from rich.table import Table

from ssl3d import ExperimentSpec
from ssl3d.data.collate import Sample, collate
from ssl3d.data.region import TensorRegion
from ssl3d.kinds.batch import Batch
from ssl3d.masked.model import PretrainModel
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.streams import Seeds

CASES: dict[str, dict[str, Any]] = {
    "primus_s": {"backbone": {"name": "primus", "size": "S"}, "decoder": {"name": "eva"}},
    "paper": {"backbone": {"name": "waveformer", "preset": "paper"}, "decoder": {}},
}
"""What `--case` stands for; tables of positions are made for `--patch`."""

FORMS = ("visible", "zeroed", "zeroed, channels-last")


def parts_of(args: argparse.Namespace) -> dict[str, Any]:
    """Backbone and decoder."""
    if args.case is not None:
        parts = CASES[args.case]
        for_patch = {"volume": args.patch} if parts["backbone"]["name"] == "primus" else {}
        return {name: {**options, **for_patch} for name, options in parts.items()}
    return {
        "backbone": json.loads(args.backbone) if args.backbone.startswith("{") else args.backbone,
        "decoder": {} if args.head_stride is None else {"head_stride": args.head_stride},
    }


def spec_of(args: argparse.Namespace, form: str, *, hidden: float = 0.6) -> ExperimentSpec:
    return ExperimentSpec(
        sparse_backend=args.backend,
        masker={"name": "random", "ratio": hidden},
        encoder_input="visible" if form == "visible" else "zeroed",
        data={"volumes": "none", "patch": args.patch, "batch_size": args.batch},
        **parts_of(args),
    )


class Step:
    """One model with its optimizer and fixed volumes."""

    def __init__(self, args: argparse.Namespace, form: str) -> None:
        self.device = torch.device(args.device)
        self.model: PretrainModel = spec_of(args, form).build().to(self.device)
        self.layout = torch.contiguous_format
        if form.endswith("channels-last"):
            self.layout = torch.channels_last_3d
            self.model = self.model.to(memory_format=self.layout)
        self.maskers = {
            share: spec_of(args, form, hidden=share).masker.build() for share in args.hidden
        }
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        generator = torch.Generator().manual_seed(0)
        volumes = torch.rand((args.batch, 1, *args.patch), generator=generator)
        valid = torch.ones(*args.patch, dtype=torch.bool)
        self.regions = [TensorRegion(volume, valid) for volume in volumes]
        self.precision = torch.autocast(self.device.type, torch.bfloat16, enabled=args.bf16)

    def batch(self, share: float) -> Batch:
        """The views of the volumes, made anew."""
        views, masker = self.model.views, self.maskers[share]
        samples = [
            Sample(views(region, masker=masker, seeds=Seeds(0, sample=i, first=0)), i, "noise")
            for i, region in enumerate(self.regions)
        ]
        return collate(samples, levels=views.levels, cell=views.cell)

    def _input(self, batch: Batch) -> FeatureMap:
        # Moved once more, the cells have no tables yet: each step makes its own.
        (views,) = batch.to(self.device).views
        visible = SparseVolume.from_dense(
            views.volume, cells=views.cells, backend=self.model.backend
        )
        if self.model.encoder_input == "visible":
            return visible
        return visible.to_dense().contiguous(memory_format=self.layout)

    def views(self, share: float) -> Callable[[], None]:
        """Making the views of a batch: the masker's draw, cells, collation."""

        def run() -> None:
            self.batch(share)

        return run

    def encoder(self, share: float) -> Callable[[], None]:
        """Forward and backward of the encoder."""
        batch = self.batch(share).to(self.device)

        def run() -> None:
            with self.precision:
                stages = self.model.backbone(self._input(batch))
            tensors = [s.features if isinstance(s, SparseVolume) else s for s in stages]
            torch.autograd.backward(tensors, [torch.ones_like(t) for t in tensors])
            self.model.zero_grad(set_to_none=True)

        return run

    def decoder(self, share: float) -> Callable[[], None]:
        """Forward and backward of the decoder, from features made before."""
        with torch.no_grad(), self.precision:
            features = self.model.backbone(self._input(self.batch(share)))
        decoder = self.model.decoder
        assert decoder is not None, "the losses restore"

        def run() -> None:
            with self.precision:
                out = decoder([leaf(x) for x in features]).volume
            out.backward(torch.ones_like(out))
            self.model.zero_grad(set_to_none=True)

        return run

    def whole(self, share: float) -> Callable[[], None]:
        """Forward, backward and optimizer."""
        batch = self.batch(share).to(self.device)
        generator = torch.Generator().manual_seed(0)

        def run() -> None:
            with self.precision:
                out = self.model.step(batch.to(self.device), generator=generator)
            out.loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

        return run


def leaf(x: FeatureMap) -> FeatureMap:
    """The same feature map as an input that wants a gradient."""
    if isinstance(x, SparseVolume):
        return x.with_features(x.features.detach().requires_grad_())
    return x.detach().requires_grad_()


def time_all(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each part and form at each hidden share; runs in a child process.

    The dense forms do the same work at every share and are timed once a round, at the last one.
    """
    steps = {form: Step(args, form) for form in args.forms}
    result: dict[str, Any] = {str(share): {} for share in args.hidden}
    for part in ("views", "encoder", "decoder", "whole"):
        runs: dict[str, Callable[[], object]] = {}
        for form, step in steps.items():
            for share in args.hidden if form == "visible" else args.hidden[-1:]:
                runs[f"{form} {share}"] = getattr(step, part)(share)
        seconds = interleaved(
            runs, rounds=args.rounds, warm_up=args.warm_up, device=torch.device(args.device)
        )
        for share in args.hidden:
            result[str(share)][part] = {
                form: median(seconds[f"{form} {share if form == 'visible' else args.hidden[-1]}"])
                for form in steps
            }
    return result


def memory_of(args: argparse.Namespace, form: str, hidden: float) -> float:
    """Peak bytes of a whole step above the model itself; runs in a child process."""
    return peak_memory(Step(args, form).whole(hidden), device=torch.device(args.device))


def child(mode: list[str], *, allocator: str) -> Any:
    """This script again, in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], *mode]
    environment = {**os.environ, **ALLOCATORS[allocator]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def largest_patch(
    args: argparse.Namespace, form: str, hidden: float, *, known: float
) -> dict[str, float]:
    """Edge of the largest cubic patch whose step peaks below `--fit`, and its peak in bytes.

    The search starts where `known`, the peak of a step on `--patch`, lets it be expected.
    """
    cell, limit = max(spec_of(args, form).cell_size), args.fit * 2**30
    volume = args.patch[0] * args.patch[1] * args.patch[2] * limit / known
    # With two visible cells or more: one site has no variance for instance norm.
    cells = 2
    while cells**3 - round(hidden * cells**3) < 2:
        cells += 1
    lowest = cells * cell
    edge = max(lowest, min(int(volume ** (1 / 3)) // cell * cell, args.fit_up_to // cell * cell))
    peaks: dict[int, float] = {}
    while lowest <= edge <= args.fit_up_to and edge not in peaks:
        mode = ["--patch", *[str(edge)] * 3, "--child", form, str(hidden)]
        peaks[edge] = child(mode, allocator="default")
        edge += cell if peaks[edge] <= limit else -cell
    best = max((edge for edge, peak in peaks.items() if peak <= limit), default=0)
    return {"edge": best, "bytes": peaks.get(best, 0)}


def by_share(args: argparse.Namespace, measure: Callable[[str, float], Any]) -> dict[str, Any]:
    """`measure(form, hidden)` of each form at each share; of a dense form once, at the last one."""
    forms = args.forms
    dense = {form: measure(form, args.hidden[-1]) for form in forms if form != "visible"}
    return {str(share): {"visible": measure("visible", share), **dense} for share in args.hidden}


def best_dense(values: dict[str, float]) -> float:
    """The faster, or smaller, of the dense forms."""
    return min(value for form, value in values.items() if form != "visible")


def earlier(args: argparse.Namespace) -> dict[str, Any]:
    """What `--out` holds of a run with the same arguments on the same machine, or nothing yet."""
    result: dict[str, Any] = {
        "machine": machine(torch.device(args.device)),
        "arguments": {k: v for k, v in vars(args).items() if k not in ("out", "child")},
        "allocators": {name: ALLOCATORS[name] for name in args.allocators},
        "seconds": {},
        "bytes": {},
    }
    if args.out and args.out.exists():
        found: dict[str, Any] = json.loads(args.out.read_text())
        if all(found.get(key) == result[key] for key in ("machine", "arguments")):
            return found
    return result


def save(result: dict[str, Any], out: Path | None) -> None:
    """What has been measured so far, if a file was named."""
    if out:
        write_json(out, result)


def show(result: dict[str, Any], console: Console) -> None:
    forms = result["arguments"]["forms"]
    table = Table("allocator", "hidden", "part", *forms, "visible / best dense", title="seconds")
    for allocator, by_hidden in result["seconds"].items():
        for hidden, parts in by_hidden.items():
            for part, values in parts.items():
                if part == "views":
                    continue
                ratio = values["visible"] / best_dense(values)
                numbers = [f"{values[form]:.3f}" for form in forms]
                table.add_row(allocator, hidden, part, *numbers, f"{ratio:.2f}")
            empty = [""] * len(forms)
            share = parts["decoder"]["visible"] / best_dense(parts["encoder"])
            table.add_row(allocator, hidden, "decoder / dense encoder", *empty, f"{share:.2f}")
            share = parts["views"]["visible"] / parts["whole"]["visible"]
            table.add_row(allocator, hidden, "making views / step", *empty, f"{share:.3f}")
    console.print(table)
    memory = Table("hidden", *forms, "visible / best dense", title="peak memory of a step, MiB")
    for hidden, values in result["bytes"].items():
        numbers = [f"{values[form] / 2**20:.0f}" for form in forms]
        memory.add_row(hidden, *numbers, f"{values['visible'] / best_dense(values):.2f}")
    console.print(memory)
    for hidden, sizes in result.get("largest_patch", {}).items():
        edges = ", ".join(f"{form}: {size['edge']:.0f}³" for form, size in sizes.items())
        limit = result["arguments"]["fit"]
        console.print(f"largest patch within {limit:g} GiB at {float(hidden):.0%} hidden: {edges}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="waveformer", help="name, or JSON with options")
    parser.add_argument("--case", choices=CASES, help="backbone and decoder, in place of those")
    parser.add_argument("--backend", default="cells")
    parser.add_argument("--patch", type=int, nargs=3, default=[96, 96, 96])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--hidden", type=float, nargs="+", default=[0.6, 0.75])
    parser.add_argument("--head-stride", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--warm-up", type=int, default=1, help="rounds that are not counted")
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--allocators", nargs="+", default=list(ALLOCATORS))
    parser.add_argument("--fit", type=float, default=0, help="GiB: find the largest patch in it")
    parser.add_argument("--fit-up-to", type=int, default=256, help="largest edge to try, in voxels")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--child", nargs="+", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.forms[:1] != ["visible"] or len(args.forms) < 2:
        parser.error(f"--forms {' '.join(args.forms)}: give visible, then one dense form or both")
    if args.child == ["time"]:
        print(json.dumps(time_all(args)))
        return
    if args.child:
        print(json.dumps(memory_of(args, args.child[0], float(args.child[1]))))
        return
    console = wide_console()
    result = earlier(args)
    for allocator in args.allocators:
        if allocator not in result["seconds"]:
            with console.status(f"timing, allocator: {allocator}"):
                result["seconds"][allocator] = child(["--child", "time"], allocator=allocator)
            save(result, args.out)
    if not result["bytes"]:
        with console.status("peak memory"):
            result["bytes"] = by_share(
                args,
                lambda form, hidden: child(["--child", form, str(hidden)], allocator="default"),
            )
        save(result, args.out)
    if args.fit and "largest_patch" not in result:
        with console.status("largest patch"):
            result["largest_patch"] = by_share(
                args,
                lambda form, hidden: largest_patch(
                    args, form, hidden, known=result["bytes"][str(hidden)][form]
                ),
            )
        save(result, args.out)
    show(result, console)


if __name__ == "__main__":
    main()
