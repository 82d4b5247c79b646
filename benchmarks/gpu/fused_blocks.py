"""The fused kernels cut in several ways, at the stages of ResEnc-L in bfloat16.

python fused_blocks.py --out DIR                       on a GPU
python fused_blocks.py --device cpu --tiny             a dry run by Triton's interpreter

What is the fastest here belongs into `ssl3d_plugins/sparse_cells/fused/blocks.py`.
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from typing import Any

import torch
from bench_layers import STAGES
from internals import Blocks, CellGrid, Operation, Triple, fused_conv, fused_cut, interpreted
from settings import Settings
from timing import Run, clear, synchronise, timed

TRIES = {  # by channels, at most 128; each costs a compilation or two
    32: (Blocks(128, 32, 32, 4, 4), Blocks(256, 32, 32, 8, 3)),
    64: (Blocks(128, 64, 32, 4, 4), Blocks(128, 64, 64, 4, 3), Blocks(256, 64, 64, 8, 3)),
    128: (Blocks(128, 128, 64, 8, 3), Blocks(64, 64, 64, 4, 4), Blocks(128, 64, 64, 4, 3)),
}
ONE: Triple = (1, 1, 1)


def stage(edge: int, channels: int, settings: Settings) -> dict[str, Any]:
    """Milliseconds of one stage as the kernels are cut by default, and in other ways."""
    grid, batch = (2, 1) if settings.tiny else (5, 2)
    order = torch.rand(batch, grid**3, generator=torch.Generator().manual_seed(0)).argsort(1)
    visible = (order >= round(settings.hidden * grid**3)).view(batch, grid, grid, grid)
    cells = CellGrid(visible, cell=(edge, edge, edge)).prepared().to(settings.device)
    options: dict[str, Any] = {"device": settings.device, "dtype": torch.bfloat16}
    x = torch.randn(cells.n, edge, edge, edge, channels, **options)
    weight = torch.randn(channels, channels, 3, 3, 3, **options)
    weight = weight.contiguous(memory_format=torch.channels_last_3d)
    where: dict[str, Any] = {
        "cells": cells,
        "op": Operation.convolution((channels, channels), kernel=(3, 3, 3)),
    }
    box = torch.randn(cells.n, channels, *(edge + 2,) * 3, **options)
    box = box.contiguous(memory_format=torch.channels_last_3d)
    runs: dict[str, Run] = {"cuDNN on boxes": lambda: torch.nn.functional.conv3d(box, weight)}
    whole = cells.scatter(x)
    runs["cuDNN dense"] = lambda: torch.nn.functional.conv3d(whole, weight, None, 1, 1)
    steps: dict[str, Run] = {
        "down": functools.partial(fused_conv.down, x, weight, None, **where),
        "up": functools.partial(fused_conv.up, x, weight, None, **where),
        "weight": functools.partial(fused_conv.weight_gradient, x, x, weight, **where),
    }
    for blocks in (None, *TRIES[min(channels, 128) if channels >= 32 else 32]):
        for name, step in steps.items():
            cut = _narrow(blocks) if blocks and name == "weight" else blocks
            run = functools.partial(_cut, step, cut)
            try:
                run()
                synchronise(settings)
                runs[f"{name} {tuple(cut) if cut else 'by default'}"] = run
            except Exception as error:
                print(f"{edge}³ × {channels}: {name}: {type(error).__name__}: {error}"[:200])
    found = {name: values["ms"] for name, values in timed(runs, settings).items()}
    flops = 2 * 27 * channels**2 * cells.n * edge**3
    return {
        "edge": edge,
        "channels": channels,
        "cells": cells.n,
        "GFLOP": flops / 1e9,
        "ms": found,
    }


def _narrow(blocks: Blocks) -> Blocks:
    """For a gradient of weights, whose sums are a block of channels by channels."""
    return Blocks(min(blocks.m, 128), min(blocks.n, 64), min(blocks.n, 64), *blocks[3:])


def _cut(step: Run, blocks: Blocks | None) -> None:
    with fused_cut(blocks):
        step()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--hidden", type=float, default=0.75)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tiny", action="store_true", help="small sizes, for a dry run")
    parser.add_argument("--out", type=Path, default=None, help="folder for JSON")
    args = parser.parse_args()
    settings = Settings(**vars(args))
    rows = []
    for edge, wide in STAGES:
        channels, sites = (max(wide // 8, 4), min(edge, 2)) if settings.tiny else (wide, edge)
        with interpreted(settings.device == "cpu"):
            rows.append(stage(sites, channels, settings))
        print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
        settings.save("fused_blocks", {"rows": rows})
        clear(settings)
        if settings.tiny:
            break


if __name__ == "__main__":
    main()
