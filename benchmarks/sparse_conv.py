"""Time of convolutions on visible cells, backend by backend, against torch's dense convolution.

At each stage of a network (48³ sites in cells of 8 down to 6³ in cells of 1), forward and backward
of a 3³ convolution and of a strided one with the transposed one back; all backends in turn in every
round. Dense is torch's convolution on the zero-filled volume, in the faster of its two layouts.
Maps and index tables are made once a batch: their time is given apart and added to one use.

    python benchmarks/sparse_conv.py cells spconv --out benchmarks/results/sparse_conv.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from measure import ALLOCATORS, interleaved, machine, median, wide_console, write_json
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation
from ssl3d.plugin.registry import installed
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.testing.sparse_run import apply

GRID, BATCH = 6, 2
STAGES = ((8, 32), (4, 64), (2, 128), (2, 256), (1, 256))
"""Sites per cell edge, and channels."""

LAYOUTS = {
    "dense": torch.contiguous_format,
    "dense, channels-last": torch.channels_last_3d,
}


def operations(edge: int, channels: int) -> dict[str, tuple[Operation, ...]]:
    """What is timed at a stage: a 3³ convolution, and where cells can be halved a chain."""
    one, two, three = (1, 1, 1), (2, 2, 2), (3, 3, 3)
    same = Operation("conv3d", three, one, one, 1, (channels, channels))
    down = Operation("conv3d", three, two, one, 1, (channels, 2 * channels))
    up = Operation("conv_transpose3d", two, two, (0, 0, 0), 1, (2 * channels, channels))
    return {"3³": (same,)} | ({"down and up": (down, up)} if edge > 1 else {})


class Trial:
    """One stage at one share of hidden cells, with the same input and weights for everybody."""

    def __init__(
        self, ops: Sequence[Operation], edge: int, hidden: float, device: torch.device
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        n = GRID**3
        order = torch.rand(BATCH, n, generator=generator).argsort(1)
        visible = (order >= round(hidden * n)).view(BATCH, GRID, GRID, GRID).to(device)
        self.visible, self.edge, self.ops = visible, edge, ops

        def leaf(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(device).requires_grad_()

        cells = self.cells()
        channels = ops[0].channels[0]
        self.features = leaf(cells.n, edge, edge, edge, channels)
        weights = [
            leaf(*(op.channels if op.kind == "conv_transpose3d" else op.channels[::-1]), *op.kernel)
            for op in ops
        ]
        self.weights = {layout: arranged(weights, layout) for layout in LAYOUTS.values()}
        with torch.no_grad():
            self.volume = cells.scatter(self.features)

    def cells(self) -> CellGrid:
        """The grid of a new batch, without any table."""
        return CellGrid(self.visible, cell=(self.edge, self.edge, self.edge))

    def dense(self, layout: torch.memory_format) -> Callable[[], None]:
        """Forward and backward on the whole zero-filled volume."""
        leaf = self.volume.contiguous(memory_format=layout).requires_grad_()
        weights = self.weights[layout]

        def run() -> None:
            x = leaf
            for op, weight in zip(self.ops, weights, strict=True):
                convolve = F.conv3d if op.kind == "conv3d" else F.conv_transpose3d
                x = convolve(x, weight, None, op.stride, op.padding)
            backward(x, [leaf, *weights])

        return run

    def sparse(self, config: SparseBackendConfig, *, new_grid: bool) -> Callable[[], None]:
        """Forward and backward on the visible cells, with maps from before or made anew.

        Weights are channels-last, as pre-training holds them.
        """
        backend, kept = config.build(), self.cells()
        weights = self.weights[torch.channels_last_3d]

        def run() -> None:
            x = SparseVolume(self.features, self.cells() if new_grid else kept, (1, 1, 1), backend)
            for op, weight in zip(self.ops, weights, strict=True):
                x = apply(backend, op, x, weight)
            backward(x.features, [self.features, *weights])

        return run


def arranged(weights: Sequence[Tensor], layout: torch.memory_format) -> list[Tensor]:
    """The same weights in another layout of their memory."""
    return [w.detach().contiguous(memory_format=layout).requires_grad_() for w in weights]


def backward(y: Tensor, leaves: Sequence[Tensor]) -> None:
    """Gradients of a sum."""
    torch.autograd.grad(y, leaves, torch.ones_like(y))


def backends(names: Sequence[str]) -> tuple[list[SparseBackendConfig], dict[str, str]]:
    """Those named, or all that can be built; and why others cannot be."""
    ready, absent = [], {}
    for name in names or installed().names("sparse_backend"):
        config = installed().config("sparse_backend", name=name).model_validate({})
        assert isinstance(config, SparseBackendConfig)
        try:
            config.build()
        except ImportError as error:
            if names:
                raise
            absent[name] = str(error)
            continue
        ready.append(config)
    return [config for config in ready if config.name != "dense"], absent


def time_all(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of everything; runs in a child process."""
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    results = []
    for hidden in args.hidden:
        for edge, channels in STAGES:
            for work, ops in operations(edge, channels).items():
                trial = Trial(ops, edge, hidden, device)
                runs = {name: trial.dense(layout) for name, layout in LAYOUTS.items()}
                for config in backends(args.backends)[0]:
                    if all(config.supports(op) for op in ops):
                        runs[config.name] = trial.sparse(config, new_grid=False)
                        runs[f"{config.name} + map"] = trial.sparse(config, new_grid=True)
                seconds = interleaved(runs, rounds=args.rounds, warm_up=2, device=device)
                milliseconds = {name: 1000 * median(s) for name, s in seconds.items()}
                where = {"hidden": hidden, "sites": GRID * edge, "cell": edge}
                results.append(
                    {"work": work, **where, "channels": channels, "milliseconds": milliseconds}
                )
    return results


def child(*, allocator: str) -> Any:
    """This script again, in a process of its own with this allocator."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child"]
    environment = {**os.environ, **ALLOCATORS[allocator]}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def best_dense(milliseconds: dict[str, float]) -> float:
    """The faster of the two layouts."""
    return min(milliseconds[name] for name in LAYOUTS)


def show(results: list[dict[str, Any]], names: Sequence[str], console: Console, title: str) -> None:
    """A row for each stage and backend: milliseconds, and the share of the dense time."""
    table = Table(title=f"forward + backward, ms ({title})")
    for column in (
        "work",
        "hidden",
        "sites",
        "cell",
        "C",
        "by",
        "ms",
        "/ dense",
        "map",
        "with map",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for row in results:
        ms, dense = row["milliseconds"], best_dense(row["milliseconds"])
        stage = [row["work"], f"{row['hidden']:.0%}", f"{row['sites']}³", f"{row['cell']}³"]
        stage.append(str(row["channels"]))
        table.add_row(*stage, "dense", f"{dense:.1f}", "1.00")
        for name in names:
            if name not in ms:
                table.add_row("", "", "", "", "", name, "lacks it")
                continue
            once = ms[f"{name} + map"]
            share = [f"{ms[name]:.1f}", f"{ms[name] / dense:.2f}"]
            made = [f"{max(once - ms[name], 0):.1f}", f"{once / dense:.2f}"]
            table.add_row("", "", "", "", "", name, *share, *made)
        table.add_section()
    console.print(table)


def chart(results: list[dict[str, Any]], names: Sequence[str], path: Path, *, title: str) -> None:
    """Bars of the share of the dense time, a row of stages for each hidden share."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    shares = sorted({row["hidden"] for row in results})
    figure, axes = pyplot.subplots(len(shares), 1, figsize=(11, 3.6 * len(shares)), squeeze=False)
    for axis, hidden in zip(axes[:, 0], shares, strict=True):
        rows = [row for row in results if row["hidden"] == hidden]
        width = 0.8 / max(len(names), 1)
        for i, name in enumerate(names):
            share = [
                row["milliseconds"].get(name, 0) / best_dense(row["milliseconds"]) for row in rows
            ]
            places = [place + (i - (len(names) - 1) / 2) * width for place in range(len(rows))]
            bars = axis.bar(places, share, width, label=name)
            axis.bar_label(bars, [f"{s:.2f}" if s else "lacks it" for s in share], fontsize=7)
        axis.axhline(1, color="black", linewidth=1)
        labels = [f"{r['work']}\n{r['sites']}³ / {r['cell']}³\nC {r['channels']}" for r in rows]
        axis.set_xticks(range(len(rows)), labels, fontsize=8)
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(ScalarFormatter())
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.set_ylabel("time / dense time")
        axis.set_title(f"{hidden:.0%} hidden, {title}")
        axis.legend(loc="upper right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("backends", nargs="*", help="by default all that are installed")
    parser.add_argument("--hidden", type=float, nargs="+", default=[0.6, 0.75])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--allocators", nargs="+", default=list(ALLOCATORS), choices=ALLOCATORS)
    parser.add_argument("--out", type=Path, default=None, help="JSON; the chart goes beside it")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(time_all(args)))
        return
    console = wide_console()
    ready, absent = backends(args.backends)
    for name, why in absent.items():
        console.print(f"left out: {name}: {why}")
    names = [config.name for config in ready]
    result: dict[str, Any] = {
        "machine": machine(torch.device(args.device)),
        "arguments": {k: v for k, v in vars(args).items() if k not in ("out", "child")},
        "allocators": {name: ALLOCATORS[name] for name in args.allocators},
        "results": {},
    }
    for allocator in args.allocators:
        with console.status(f"timing, allocator: {allocator}"):
            result["results"][allocator] = child(allocator=allocator)
        show(result["results"][allocator], names, console, f"allocator: {allocator}")
    if args.out:
        write_json(args.out, result)
        first = args.allocators[0]
        picture = args.out.with_suffix(".png")
        chart(result["results"][first], names, picture, title=f"allocator: {first}")
        console.print(f"written: {args.out} and {picture}")


if __name__ == "__main__":
    main()
