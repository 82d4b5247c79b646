"""Operations, bytes and FLOPs of a training step on a GPU, counted on a CPU: visible and dense.

Forward and backward of `WaveFormer` at 96³ and nnU-Net's ResEnc-L at 160³, batch 2, 75 % hidden,
bf16, as a GPU without Triton is asked for them: halo boxes, grids prepared by the loader. The fused
kernels, which are taken where Triton works, are not counted. Nothing is computed, so the counts are
the same on every machine; benchmarks/gpu/roofline.py says what is counted and how.

    python benchmarks/operations.py --out benchmarks/results/operations.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from measure import wide_console, write_json
from rich.table import Column, Table

sys.path.insert(0, str(Path(__file__).parent / "gpu"))

from roofline import counted
from settings import NETWORKS

DEFAULT = ("wave96b2", "resL160b2")
FORMS = ("visible", "dense")
UNITS = {"ops": "operations", "GB": "GB", "TFLOP": "TFLOP"}


def compare(name: str, *, hidden: float) -> dict[str, Any]:
    """Counts of a network's step, visible and dense, and the visible share of the dense one."""
    rows = {row["form"]: row for row in counted([name], hidden=hidden)}
    steps = {"visible": rows["visible"]["step"], "dense": rows["zeroed"]["step"]}
    share = {unit: steps["visible"][unit] / steps["dense"][unit] for unit in UNITS}
    return {"visible cells": rows["visible"]["visible cells"], **steps, "share": share}


def table_of(found: dict[str, dict[str, Any]]) -> Table:
    """A row for each network and form."""
    numbers = [Column(title, justify="right") for title in UNITS.values()]
    table = Table("network", "form", *numbers)
    for name, one in found.items():
        for form in (*FORMS, "share"):
            count = f"{one[form]['ops']:.2f}" if form == "share" else f"{one[form]['ops']:.0f}"
            table.add_row(name, form, count, *(f"{one[form][u]:.3f}" for u in ("GB", "TFLOP")))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, print, and write where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--hidden", type=float, default=0.75, help="share of the cells")
    parser.add_argument("--out", type=Path, default=None, help="JSON")
    args = parser.parse_args(arguments)
    found = {name: compare(name, hidden=args.hidden) for name in args.names or DEFAULT}
    wide_console().print(table_of(found))
    if args.out:
        about = {"torch": torch.__version__, "hidden": args.hidden}
        write_json(args.out, {**about, "networks": found})


if __name__ == "__main__":
    main()
