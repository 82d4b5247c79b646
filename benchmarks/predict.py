"""Time and peak memory of predicting a volume window by window, over the length of the volume.

Slabs of this project against MONAI's `sliding_window_inference`, whose sums grow with the volume.
The same small network, windows and Gaussian for both; each run in a process of its own, since
memory that a process has freed would hide the next peak. The volume itself is not counted.

    python benchmarks/predict.py --out benchmarks/results/predict.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import machine, peak_memory, wide_console, write_json
from monai.inferers import sliding_window_inference
from rich.table import Table
from torch import Tensor

from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.recipe import Recipe
from ssl3d.tasks.finetune.sliding import predicted_slabs, window_corners
from ssl3d.tasks.finetune.window_spec import WindowSpec
from ssl3d_plugins.decoders import UNet
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.tasks import Segmentation

PATCH = (96, 96, 96)
WAYS = ("slabs", "monai")


def make_model(classes: int) -> FinetuneModel:
    """A small network whose time does not hide that of the windows."""
    torch.manual_seed(0)
    backbone = ResUNet(widths=(16, 32, 64), blocks=(1, 1, 1), strides=(2, 2, 2))
    task = Segmentation(labels={f"label {i}": i for i in range(1, classes)})
    stages = backbone.stages()
    decoder = UNet(below="interpolate").build(stages=stages, out_channels=classes, sparse=False)
    return FinetuneModel(
        backbone.build(in_channels=1),
        decoder=decoder,
        task=task.build(stages=stages),
        recipe=Recipe(),
        steps=1,
        samples_per_step=1,
    ).eval()


def prediction(
    way: str, model: FinetuneModel, volume: Tensor, *, device: torch.device, overlap: float
) -> Callable[[], Tensor]:
    """What gives the classes (D, H, W) of a volume (1, D, H, W)."""

    def by_slabs() -> Tensor:
        windows = WindowSpec(overlap=overlap)
        slabs = predicted_slabs([model], volume, patch=PATCH, windows=windows)
        classes = torch.empty(volume.shape[1:], dtype=torch.int16)
        for start, slab in slabs:
            classes[start : start + slab.shape[1]] = model.task.decided(slab)
        return classes

    def by_monai() -> Tensor:
        sums = sliding_window_inference(
            volume[None],
            PATCH,
            1,
            model.predict,
            overlap=overlap,
            mode="gaussian",
            sw_device=device,
            device="cpu",
        )
        return sums[0].argmax(0).short()

    return by_slabs if way == "slabs" else by_monai


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and bytes of one way and length, in this process."""
    device = torch.device(options.device)
    size = (options.slices, options.edge, options.edge)
    volume = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    model = make_model(options.classes).to(device)
    run = prediction(options.way, model, volume, device=device, overlap=options.overlap)
    start = time.perf_counter()
    peak = peak_memory(run, device=torch.device("cpu"))
    return {
        "way": options.way,
        "size": size,
        "windows": len(window_corners(size, patch=PATCH, overlap=options.overlap)),
        "seconds": time.perf_counter() - start,
        "peak_bytes": peak,
    }


def main() -> None:
    """Measure each way and length, print a table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[200, 400, 600])
    parser.add_argument("--edge", type=int, default=330)
    parser.add_argument("--classes", type=int, default=8)
    parser.add_argument("--overlap", type=float, default=0.5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--slices", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measured(options)))
        return
    rows = []
    for slices in options.lengths:
        for way in options.ways:
            own = ["--way", way, "--slices", str(slices), "--edge", str(options.edge)]
            own += ["--classes", str(options.classes), "--overlap", str(options.overlap)]
            command = [sys.executable, __file__, *own, "--device", options.device]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    table = Table("voxels", "by", "windows", "seconds", "peak memory, MiB")
    for row in rows:
        shown = " × ".join(map(str, row["size"]))
        peak = f"{row['peak_bytes'] / 2**20:.0f}"
        table.add_row(shown, row["way"], str(row["windows"]), f"{row['seconds']:.1f}", peak)
    wide_console().print(table)
    if options.out:
        facts = {"classes": options.classes, "patch": PATCH, "overlap": options.overlap}
        write_json(options.out, {**machine(torch.device(options.device)), **facts, "rows": rows})


if __name__ == "__main__":
    main()
