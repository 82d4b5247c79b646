"""Time and peak memory of predicting a volume window by window, over the length of the volume.

Slabs of this project against MONAI's `sliding_window_inference`, whose sums grow with the volume.
The same small network, windows and Gaussian for both; each run in a process of its own, since
memory that a process has freed would hide the next peak. The volume itself is not counted.

    python benchmarks/predict.py --out benchmarks/results/predict.json

With `--run` and `--volume` also `ssl3d predict` from file to file, all of it counted: reading,
resampling, windows, and bringing the labels back onto the file's grid.

    python benchmarks/predict.py --run runs/tuned --volume ct.nii.gz --lengths --out predict.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import torch
from measure import machine, peak_memory, wide_console, write_json
from monai.inferers import sliding_window_inference
from rich.table import Table
from torch import Tensor

from ssl3d.data.read import target_grid
from ssl3d.data.source import Source
from ssl3d.geometry import Triple
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.model_file import load_model
from ssl3d.tasks.finetune.recipe import Recipe
from ssl3d.tasks.finetune.sliding import predicted_slabs, window_corners
from ssl3d.tasks.finetune.window_spec import WindowSpec
from ssl3d.tasks.predict.predict import predict
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


def from_file(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and bytes of `ssl3d predict` on one file, in this process."""
    model = load_model(options.run)
    header = nibabel.load(options.volume).header
    prepared = target_grid(Source((options.volume,)), spacing=model.preparation.spacing)
    windows = WindowSpec(overlap=options.overlap)
    size = at_least_patch(tuple(reversed(prepared.shape)), patch=model.patch)
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        peak = peak_memory(
            lambda: predict(
                options.run, options.volume, out=out, windows=windows, device=options.device
            ),
            device=torch.device("cpu"),
        )
        seconds = time.perf_counter() - start
    return {
        "way": "file",
        "size": list(reversed(header.get_data_shape())),
        "spacing": [float(step) for step in reversed(header.get_zooms())],
        "prepared": list(reversed(prepared.shape)),
        "patch": model.patch,
        "outputs": len(model.model.task.config.outputs()),
        "windows": len(window_corners(size, patch=model.patch, overlap=options.overlap)),
        "seconds": seconds,
        "cpu_seconds": time.process_time(),
        "peak_bytes": peak,
    }


def at_least_patch(size: Triple, *, patch: Triple) -> Triple:
    """A volume is padded to a window."""
    z, y, x = (max(s, p) for s, p in zip(size, patch, strict=True))
    return z, y, x


def main() -> None:
    """Measure each way and length, print a table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a fine-tuning run, for --volume")
    parser.add_argument("--volume", type=Path, help="a file to predict by it")
    parser.add_argument("--lengths", type=int, nargs="*", default=[200, 400, 600])
    parser.add_argument("--edge", type=int, default=330)
    parser.add_argument("--classes", type=int, default=8)
    parser.add_argument("--overlap", type=float, default=0.5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", choices=(*WAYS, "file"), help=argparse.SUPPRESS)
    parser.add_argument("--slices", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps((from_file if options.way == "file" else measured)(options)))
        return
    if (options.run is None) != (options.volume is None):
        parser.error("--run and --volume go together")
    rows = []
    if options.run is not None:
        own = ["--way", "file", "--run", str(options.run), "--volume", str(options.volume)]
        rows.append(_in_own_process([*own, "--overlap", str(options.overlap)], options))
    for slices in options.lengths:
        for way in options.ways:
            own = ["--way", way, "--slices", str(slices), "--edge", str(options.edge)]
            own += ["--classes", str(options.classes), "--overlap", str(options.overlap)]
            rows.append(_in_own_process(own, options))
    table = Table("voxels", "by", "windows", "seconds", "peak memory, MiB")
    for row in rows:
        shown = " × ".join(map(str, row["size"]))
        peak = f"{row['peak_bytes'] / 2**20:.0f}"
        table.add_row(shown, row["way"], str(row["windows"]), f"{row['seconds']:.1f}", peak)
    wide_console().print(table)
    if options.out:
        facts = {"classes": options.classes, "patch": PATCH, "overlap": options.overlap}
        write_json(options.out, {**machine(torch.device(options.device)), **facts, "rows": rows})


def _in_own_process(arguments: list[str], options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, *arguments, "--device", options.device]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
