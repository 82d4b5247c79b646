"""The Triton prototype of `halo_kernels.py`, checked and timed at the stages of ResEnc-L.

python halo_gemm.py --out DIR                      on a GPU: check, then time each stage
TRITON_INTERPRET=1 python halo_gemm.py --check     on a CPU: small sizes against float64
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from halo_kernels import Blocks, convolve, taps_of, weight_gradient
from internals import CellGrid
from settings import Settings
from timing import timed
from torch import Tensor

STAGES = ((32, 32), (16, 64), (8, 128), (4, 256), (2, 320), (1, 320))
TRIES = {  # by channels, at most 128; each costs a compilation or two
    32: [Blocks(128, 32, 32, 4, 4), Blocks(256, 32, 32, 8, 3)],
    64: [Blocks(128, 64, 32, 4, 4), Blocks(128, 64, 64, 4, 3), Blocks(256, 64, 64, 8, 3)],
    128: [Blocks(128, 128, 64, 8, 3), Blocks(64, 64, 64, 4, 4), Blocks(128, 64, 64, 4, 3)],
}
SMALL = ((4, 16, 16), (2, 32, 48), (1, 16, 32))
LARGER = ((4, 32, 64), (8, 64, 32), (2, 320, 320), (1, 48, 96))


def reference(x: Tensor, weight: Tensor, grad: Tensor, cells: CellGrid) -> tuple[Tensor, ...]:
    """By the definition, in the precision of its arguments."""
    x, weight = x.detach().clone().requires_grad_(), weight.detach().clone().requires_grad_()
    y = torch.nn.functional.conv3d(cells.scatter(x), weight, None, 1, 1)
    y = cells.gather(y, stride=(cells.cell[0] // x.shape[1],) * 3)
    return (y.detach(), *torch.autograd.grad(y, [x, weight], grad))


def check(device: str, *, sizes: Sequence[tuple[int, int, int]]) -> float:
    """Values and gradients against float64; gives the largest relative error."""
    blocks, worst = Blocks(64, 32, 32, 4, 2), 0.0
    low = torch.bfloat16 if device == "cuda" else torch.float32
    for e, c, o in sizes:
        generator = torch.Generator().manual_seed(e + c)

        def normal(*shape: int, generator: torch.Generator = generator) -> Tensor:
            return torch.randn(shape, generator=generator).to(device, low)

        visible = torch.rand(2, 3, 3, 2, generator=generator) < 0.4
        cells = CellGrid(visible.to(device), cell=(e, e, e))
        x, grad = normal(cells.n, e, e, e, c), normal(cells.n, e, e, e, o)
        weight = normal(o, c, 3, 3, 3) * (27 * c) ** -0.5
        neighbours = cells.neighbours.int().contiguous()
        forward, back = taps_of(weight)
        of_weight = weight_gradient(x, grad, neighbours, blocks=blocks)
        got = (
            convolve(x, forward, neighbours, blocks=blocks),
            convolve(grad, back, neighbours, blocks=blocks),
            of_weight.view(3, 3, 3, c, o).permute(4, 3, 0, 1, 2),
        )
        want = reference(x.double(), weight.double(), grad.double(), cells)
        errors = [float((a.double() - b).norm() / b.norm()) for a, b in zip(got, want, strict=True)]
        print(f"check {e}³, {c} to {o}: off by {errors}", flush=True)
        worst = max(worst, *errors)
    assert worst < (1e-2 if low == torch.bfloat16 else 1e-5), worst
    return worst


def stage(visible: Tensor, *, edge: int, channels: int, settings: Settings) -> dict[str, Any]:
    """The fastest blocks of one stage, beside cuDNN on boxes that are there and on the volume."""
    cells = CellGrid(visible, cell=(edge, edge, edge))
    neighbours = cells.neighbours.int().contiguous()
    half = {"device": "cuda", "dtype": torch.bfloat16}
    x = torch.randn(cells.n, edge, edge, edge, channels, **half)
    weight = torch.randn(channels, channels, 3, 3, 3, **half)
    last = weight.contiguous(memory_format=torch.channels_last_3d)
    box = torch.randn(cells.n, channels, *(edge + 2,) * 3, **half)
    box = box.contiguous(memory_format=torch.channels_last_3d)
    whole = cells.scatter(x).contiguous(memory_format=torch.channels_last_3d)
    grad, taps = torch.randn_like(whole), taps_of(weight)[0]
    backward = functools.partial(torch.ops.aten.convolution_backward, grad, whole, last, None)
    one, zero = (1, 1, 1), (0, 0, 0)
    runs: dict[str, Any] = {
        "cuDNN on boxes": lambda: torch.nn.functional.conv3d(box, last),
        "cuDNN dense": lambda: torch.nn.functional.conv3d(whole, last, None, 1, 1),
        "cuDNN dense, weight": lambda: backward(
            one, one, one, False, zero, 1, (False, True, False)
        ),
    }
    for blocks in TRIES[min(channels, 128)]:
        narrow = Blocks(min(blocks.m, 128), min(blocks.n, 64), min(blocks.n, 64), *blocks[3:])
        tried = {
            f"forward {tuple(blocks)}": functools.partial(
                convolve, x, taps, neighbours, blocks=blocks
            ),
            f"weight {tuple(narrow)}": functools.partial(
                weight_gradient, x, x, neighbours, blocks=narrow
            ),
        }
        for name, run in tried.items():
            try:
                run()
                torch.cuda.synchronize()
                runs[name] = run
            except Exception as error:
                print(f"{edge}³ × {channels}: {name}: {type(error).__name__}: {error}"[:200])
    flops = 2 * 27 * channels**2 * cells.n * edge**3
    found = {name: values["ms"] for name, values in timed(runs, settings).items()}
    where = {"edge": edge, "channels": channels, "cells": cells.n, "GFLOP": flops / 1e9}
    return {**where, "ms": found}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only check, on a CPU")
    parser.add_argument("--hidden", type=float, default=0.75)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None, help="folder for JSON")
    args = parser.parse_args()
    if args.check:
        check("cpu", sizes=SMALL)
        return
    check("cuda", sizes=LARGER)
    settings = Settings(hidden=args.hidden, rounds=10, out=args.out)
    order = torch.rand(args.batch, 125, generator=torch.Generator().manual_seed(0)).argsort(1)
    visible = (order >= round(args.hidden * 125)).view(args.batch, 5, 5, 5).cuda()
    rows = []
    for edge, channels in STAGES:
        rows.append(stage(visible, edge=edge, channels=channels, settings=settings))
        print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
        settings.save("halo_gemm", {"rows": rows})
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
