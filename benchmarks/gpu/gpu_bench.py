"""One step on a GPU: time, memory, kernels, what waits for the device, and whether anything leaks.

Each part prints a short table and writes JSON:

    python gpu_bench.py ceilings --out DIR
    python gpu_bench.py step NAME [NAME ...] --out DIR     networks: see settings.py
    python gpu_bench.py waits NAME ... --out DIR           synchronisations by source line
    python gpu_bench.py layers --out DIR                   each stage's convolution, way by way
    python gpu_bench.py leak --out DIR                     no leak, repeatability, bf16 to float32
    python gpu_bench.py loader --out DIR                   crops a second of the loader

A dry run without a GPU: --device cpu --tiny. Times are medians of single steps after warm-up, forms
in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bench_layers
import bench_leak
import bench_rates
import bench_step
import bench_waits
import torch
from settings import NETWORKS, Settings

PARTS = {
    "ceilings": bench_rates.ceilings,
    "layers": bench_layers.run,
    "leak": bench_leak.run,
    "loader": bench_rates.loader,
}
PARTS_BY_NETWORK = {"step": bench_step.run, "waits": bench_waits.run}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run one part; gives what it found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=[*PARTS, *PARTS_BY_NETWORK])
    parser.add_argument("names", nargs="*", help=f"networks: {', '.join(NETWORKS)}")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--hidden", type=float, default=0.75)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="also through torch.compile")
    parser.add_argument("--benchmark", action="store_true", help="cudnn.benchmark")
    parser.add_argument("--tiny", action="store_true", help="small sizes, for a dry run")
    parser.add_argument("--out", type=Path, default=None, help="folder for JSON")
    args = parser.parse_args(arguments)
    unknown = set(args.names) - set(NETWORKS)
    if unknown:
        parser.error(f"unknown: {sorted(unknown)}; known: {', '.join(NETWORKS)}")
    if bool(args.names) != (args.part in PARTS_BY_NETWORK):
        parser.error(f"{' and '.join(PARTS_BY_NETWORK)} take names of networks, others none")
    torch.backends.cudnn.benchmark = args.benchmark
    settings = Settings(
        device=args.device,
        hidden=args.hidden,
        rounds=args.rounds,
        tiny=args.tiny,
        compile=args.compile,
        out=args.out,
    )
    if args.part in PARTS_BY_NETWORK:
        return PARTS_BY_NETWORK[args.part](args.names, settings)
    return PARTS[args.part](settings)


if __name__ == "__main__":
    main()
