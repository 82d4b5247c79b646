"""What one pre-training step asks of a GPU, counted on a CPU without computing anything.

Every operation of forward and backward that PyTorch dispatches is recorded on fake tensors: how
many there are, their floating-point operations, and the bytes that they read and write, as the code
is written (each operation its own kernel). Index tables are made for real, so their shapes are.
Emulated of CUDA: layer norm in float32 under autocast, halo boxes of all cells at once, no minimal
filtering. Not counted: the optimiser (28 bytes a parameter are added to the floor), the loader.

    python roofline.py wave96b8 wave96b32
    python roofline.py resL160b2 --ways chosen "all pairs"

The floor is the sum over operations of max(FLOPs / rate, bytes / bandwidth); see counting.py.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from counting import BANDWIDTH, Count, FakeGrid, make_fake, single_layer_norm
from internals import Batch, HiddenLevels, ViewBatch, cuda_choices, noise_batch, ways
from settings import NETWORKS, spec_of
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode


def count(name: str, *, form: str, way: str, hidden: float) -> dict[str, Any]:
    """Counts of the whole step and of the encoder alone."""
    spec = spec_of(name, form=form, hidden=hidden)
    model = spec.build()
    parameters = sum(p.numel() for p in model.parameters())
    samples, patch = spec.data.batch_size, spec.data.patch
    (real,) = noise_batch(model, spec=spec, samples=samples, patch=patch).views
    mode = FakeTensorMode()
    make_fake(model, mode)
    with mode, ways(way):
        batch = fake(real, mode)
        (views,) = batch.views
        with Count() as forward, torch.autocast("cpu", torch.bfloat16):
            loss = model.step(batch, generator=torch.Generator()).loss
        with Count() as backward:
            loss.backward()
        with Count() as encoder, torch.autocast("cpu", torch.bfloat16):
            stages = model.encode(views.volume, cells=views.cells)
        leaves = [s if isinstance(s, Tensor) else s.features for s in stages]
        with Count() as encoder_backward:
            torch.autograd.backward(leaves, [torch.ones_like(t) for t in leaves])
    step = added(forward.total(), backward.total())
    step["floor ms"] += 1e3 * 28 * parameters / BANDWIDTH
    longest = collections.Counter(forward.floor) + collections.Counter(backward.floor)
    return {
        "network": name,
        "form": form,
        "way": way,
        "parameters": parameters,
        "visible cells": real.cells.n,
        "step": step,
        "encoder": added(encoder.total(), encoder_backward.total()),
        "longest ms": {k: round(1e3 * seconds, 3) for k, seconds in longest.most_common(14)},
        "most": dict((forward.operations + backward.operations).most_common(10)),
    }


def fake(real: ViewBatch, mode: FakeTensorMode) -> Batch:
    """The same views of fake tensors."""
    views = ViewBatch(
        mode.from_tensor(real.volume),
        valid=None,
        cells=FakeGrid(real.cells, mode),
        hidden=HiddenLevels(tuple(map(mode.from_tensor, real.hidden.levels))),
        hidden_positions=tuple(map(mode.from_tensor, real.hidden_positions)),
        level=real.level,
    )
    return Batch((views,), samples=tuple(range(len(real))), sources=("noise",) * len(real))


def added(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """Sums by name."""
    return {name: value + other[name] for name, value in one.items()}


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Count and print; gives the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=NETWORKS)
    parser.add_argument("--hidden", type=float, default=0.75)
    parser.add_argument("--ways", nargs="+", default=["chosen"], choices=["chosen", "all pairs"])
    parser.add_argument("--top", action="store_true", help="also the longest operations")
    parser.add_argument("--layer-norm", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--out", type=Path, default=None, help="JSON")
    args = parser.parse_args(arguments)
    rows = []
    for row in counted(
        args.names, hidden=args.hidden, ways=args.ways, single=args.layer_norm == "fp32"
    ):
        show(row, top=args.top)
        rows.append(row)
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


def counted(
    names: Sequence[str],
    *,
    hidden: float,
    ways: Sequence[str] = ("chosen",),
    single: bool = True,
) -> Iterator[dict[str, Any]]:
    """Counts of each network, visible by each way and dense, with the choices of a GPU.

    Args:
        names: of networks.
        hidden: share of the cells.
        ways: to convolve visible cells.
        single: layer norm in float32 under autocast, as CUDA has it.
    """
    with cuda_choices(), single_layer_norm() if single else contextlib.nullcontext():
        for name in names:
            for form, way in [*(("visible", way) for way in ways), ("zeroed", "dense")]:
                yield count(name, form=form, way=way, hidden=hidden)


def show(row: dict[str, Any], *, top: bool) -> None:
    """A line; with `top` two more."""
    step, encoder = row["step"], row["encoder"]
    print(
        f"{row['network']:10} {row['form']:8}{row['way']:7} cells {row['visible cells']:5} "
        f"ops {step['ops']:6.0f} (encoder {encoder['ops']:6.0f}) "
        f"{step['TFLOP']:7.3f} TFLOP ({encoder['TFLOP']:7.3f}) "
        f"{step['GB']:8.1f} GB ({encoder['GB']:8.1f}) "
        f"floor {step['floor ms']:8.2f} ms ({encoder['floor ms']:8.2f})",
        flush=True,
    )
    if top:
        print("   ms:", row["longest ms"])
        print("   operations:", row["most"])


if __name__ == "__main__":
    main()
