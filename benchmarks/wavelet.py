"""Time of the fused Haar path against ptwt: forward, inverse and backward.

For each stage of the default WaveFormer that has wavelet levels, on the dense feature map and on
the visible cells. Between the transforms stands a factor in place of attention, the same on both
sides, so that only the transforms differ. Each side gets the memory layout that suits it, and the
results are compared before anything is timed.

    python benchmarks/wavelet.py --out benchmarks/results/wavelet.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ptwt
import torch
from measure import interleaved, machine, median, wide_console, write_json
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ssl3d.geometry import Triple, product, quotient
from ssl3d_plugins.waveformer import WaveFormer
from ssl3d_plugins.waveformer.wavelet import (
    add_to_blocks_,
    block_mean,
    join_blocks,
    split_blocks,
)

FACTOR = 0.5


def fused(boxes: Tensor, *, levels: Triple) -> Tensor:
    """(M, d, h, w, C) with its block means multiplied."""
    # As in the network, where the layer norm makes the fresh tensor that is added to in place.
    blocks = split_blocks(boxes, levels=levels).clone()
    mean = block_mean(blocks)
    return join_blocks(add_to_blocks_(blocks, tokens=mean * FACTOR - mean))


def by_ptwt(volume: Tensor, *, levels: Triple) -> Tensor:
    """(M, C, d, h, w) with its coarsest approximation multiplied."""
    smooth, *details = ptwt.wavedec3(volume, "haar", mode="zero", level=levels[0])
    return ptwt.waverec3((smooth * FACTOR, *details), "haar")


def pair(shape: tuple[int, ...], *, levels: Triple, device: str) -> dict[str, Callable[[], object]]:
    """Both paths on the same values, (M, d, h, w, C)."""
    generator = torch.Generator().manual_seed(0)
    boxes = torch.randn(shape, generator=generator).to(device)
    grad = torch.randn(shape, generator=generator).to(device)
    channels_last = boxes.clone().requires_grad_()
    channels_first = boxes.movedim(-1, 1).contiguous().requires_grad_()
    grad_first = grad.movedim(-1, 1).contiguous()

    def run_fused() -> Tensor:
        channels_last.grad = None
        y = fused(channels_last, levels=levels)
        y.backward(grad)
        return y.detach()

    def run_ptwt() -> Tensor:
        channels_first.grad = None
        y = by_ptwt(channels_first, levels=levels)
        y.backward(grad_first)
        return y.detach().movedim(1, -1)

    torch.testing.assert_close(run_fused(), run_ptwt(), atol=1e-4, rtol=1e-4)
    assert channels_last.grad is not None
    assert channels_first.grad is not None
    same = channels_first.grad.movedim(1, -1)
    torch.testing.assert_close(channels_last.grad, same, atol=1e-4, rtol=1e-4)
    return {"fused": run_fused, "ptwt": run_ptwt}


def cases(args: argparse.Namespace) -> dict[str, tuple[tuple[int, ...], Triple]]:
    """Shape and levels by name."""
    config = WaveFormer()
    size: Triple = tuple(args.patch)
    cells = args.batch * product(quotient(size, config.total_stride))
    visible = round(cells * (1 - args.hidden))
    found = {}
    for i, (stage, levels) in enumerate(zip(config.stages(), config.stage_levels, strict=True)):
        if not any(levels):
            continue
        edge, inside = quotient(size, stage.stride), quotient(config.total_stride, stage.stride)
        found[f"stage {i}, dense"] = ((args.batch, *edge, stage.channels), levels)
        found[f"stage {i}, visible cells"] = ((visible, *inside, stage.channels), levels)
    return found


def show(result: dict[str, Any], console: Console) -> None:
    table = Table("feature map", "shape", "levels", "fused, ms", "ptwt, ms", "fused / ptwt")
    for name, row in result["stages"].items():
        fused_ms, ptwt_ms = row["seconds"]["fused"] * 1e3, row["seconds"]["ptwt"] * 1e3
        numbers = (f"{fused_ms:.1f}", f"{ptwt_ms:.1f}", f"{fused_ms / ptwt_ms:.3f}")
        table.add_row(name, str(tuple(row["shape"])), str(row["levels"][0]), *numbers)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patch", type=int, nargs=3, default=[96, 96, 96])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--hidden", type=float, default=0.75, help="share of hidden cells")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    console = wide_console()
    device = torch.device(args.device)
    stages: dict[str, Any] = {}
    for name, (shape, levels) in cases(args).items():
        with console.status(name):
            runs = pair(shape, levels=levels, device=args.device)
            seconds = interleaved(runs, rounds=args.rounds, device=device)
        stages[name] = {
            "shape": shape,
            "levels": levels,
            "seconds": {path: median(values) for path, values in seconds.items()},
        }
    result = {
        "machine": machine(device),
        "arguments": {k: v for k, v in vars(args).items() if k != "out"},
        "stages": stages,
    }
    show(result, console)
    if args.out:
        write_json(args.out, result)
        console.print(f"written: {args.out}")


if __name__ == "__main__":
    main()
