"""Crops a second, peak memory and size: raw NIfTI, MONAI's datasets, and a store.

Each way of reading has a process of its own, which one asks for crops in turn, so that whatever
else the machine does hits all alike. All give random crops of the same volumes, turned to RAS and
normalised by percentiles, one thread each. The files are in the system's cache of files where they
fit: it is not the disk that is measured. A short run then says which share of a step waits for a
store.

    python benchmarks/data.py --generated 200 256 --out benchmarks/results/data.json
    python benchmarks/data.py --volumes FOLDER
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from loader import waiting
from measure import machine, median, peak_memory, wide_console, write_json
from rich.console import Console
from rich.table import Table

from ssl3d import ExperimentSpec
from ssl3d.data import RunVolumes
from ssl3d.data.spec import DataSpec
from ssl3d.data.stored.fill import fill_store

RAW, PERSISTENT, CACHE, STORE = "raw NIfTI", "PersistentDataset", "CacheDataset", "store"
KINDS = (RAW, PERSISTENT, CACHE, STORE)


def spec_of(args: argparse.Namespace, *, store: bool) -> DataSpec:
    return DataSpec(
        volumes=str(args.volumes),
        store=str(args.folder / "store") if store else None,
        patch=args.patch,
        spacing=args.spacing,
        holdout=0,
        foreground={"share": 0.0},
        flips=(False, False, False),
        workers=0,
    )


def crops_of_monai(kind: str, args: argparse.Namespace) -> Iterator[Any]:
    """Endless crops, as its tutorials make them."""
    from monai.data import CacheDataset, Dataset, PersistentDataset
    from monai.transforms import (
        Compose,
        EnsureChannelFirstd,
        LoadImaged,
        Orientationd,
        RandSpatialCropd,
        ScaleIntensityRangePercentilesd,
        Spacingd,
    )

    spacing = [] if args.spacing is None else [Spacingd("image", pixdim=args.spacing[::-1])]
    transform = Compose(
        [
            LoadImaged("image", dtype=np.float32),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS", labels=None),
            *spacing,
            ScaleIntensityRangePercentilesd("image", 0.5, 99.5, 0.0, 1.0, clip=True),
            RandSpatialCropd("image", args.patch[::-1], random_size=False),
        ]
    )
    files = [{"image": source.files[0]} for source in found(args).train_files]
    if kind == PERSISTENT:
        dataset: Any = PersistentDataset(files, transform, cache_dir=args.folder / "persistent")
        for i in range(len(files)):
            dataset[i]  # keeps it
    elif kind == CACHE:
        dataset = CacheDataset(files, transform, num_workers=1, progress=False)
    else:
        dataset = Dataset(files, transform)
    random = np.random.default_rng(0)
    while True:
        yield dataset[int(random.integers(len(files)))]["image"]


def found(args: argparse.Namespace, *, store: bool = False) -> RunVolumes:
    volumes = RunVolumes(spec_of(args, store=store), silent=True)
    volumes.find()
    return volumes


def crops_of_store(args: argparse.Namespace) -> Iterator[Any]:
    volumes = found(args, store=True)
    crops = volumes.training_crops(seed=0, extent=tuple(args.patch))
    number = 0
    while True:
        yield crops[number]["volume"]
        number += 1


def serve(kind: str, args: argparse.Namespace, asked: Connection) -> None:
    """Answer each number of crops by the seconds that they took; none: by the peak of memory."""
    torch.set_num_threads(1)
    import monai.transforms  # noqa: F401  (what is imported counts for none)

    def work() -> None:
        crops = crops_of_store(args) if kind == STORE else crops_of_monai(kind, args)
        assert next(iter(next(crops).shape)) == 1
        asked.send("ready")
        while number := asked.recv():
            start = time.perf_counter()
            for _ in range(number):
                next(crops)
            asked.send(time.perf_counter() - start)

    asked.send(peak_memory(work, device=torch.device("cpu")))


def measured(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Of each way: crops a second of each round, peak memory."""
    context = multiprocessing.get_context("spawn")
    ends, processes = {}, []
    for kind in KINDS:
        ends[kind], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(kind, args, theirs), daemon=True))
        processes[-1].start()
        theirs.close()
        assert ends[kind].recv() == "ready"  # one after the other: each reads all that there is

    def ask(kind: str, number: int) -> float:
        ends[kind].send(number)
        return float(ends[kind].recv())

    # As many as take about the same time, after a pass over the volumes where that is quick.
    numbers = {kind: max(1, int(args.seconds / (ask(kind, 4) / 4))) for kind in KINDS}
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(args.rounds):
        for kind in KINDS:
            rates[kind].append(numbers[kind] / ask(kind, numbers[kind]))
    peaks = {kind: ask(kind, 0) for kind in KINDS}
    for process in processes:
        process.join()
    return {
        kind: {
            "crops a second": rates[kind],
            "times raw": median([a / b for a, b in zip(rates[kind], rates[RAW], strict=True)]),
            "peak bytes": peaks[kind],
        }
        for kind in KINDS
    }


def run_spec(args: argparse.Namespace, *, workers: int) -> ExperimentSpec:
    """A run at 75 % hidden from the store."""
    backbone = json.loads(args.backbone) if args.backbone.startswith("{") else args.backbone
    data = spec_of(args, store=True).model_copy(update={"workers": workers, "batch_size": 2})
    return ExperimentSpec(
        backbone=backbone,
        masker={"name": "random", "ratio": 0.75},
        data=data,
        trainer={"steps": args.steps, "pictures": 0, "loggers": [], "accelerator": "cpu"},
    )


def generate(folder: Path, *, count: int, edge: int) -> None:
    """Compressed int16 volumes of 12 bits: smooth shapes with the noise of a scanner."""
    from scipy.ndimage import zoom

    random = np.random.default_rng(0)
    for number in range(count):
        coarse = random.normal(size=(-(-edge // 16) + 1,) * 3)
        values = 600 * zoom(coarse, 16, order=1)[:edge, :edge, :edge]
        values += random.normal(scale=20, size=values.shape)
        volume = np.clip(values, -1024, 3071).astype(np.int16)
        image = nibabel.Nifti1Image(volume, np.diag([1.0, 1.0, 1.0, 1.0]))
        nibabel.save(image, folder / f"{number:03d}.nii.gz")


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def show(result: dict[str, Any], console: Console) -> None:
    table = Table(
        "read from", "crops / s", "times raw", "peak, MiB", "of CacheDataset", "disk, MiB"
    )
    for kind, own in result["reading"].items():
        peak, whole = own["peak bytes"], result["reading"][CACHE]["peak bytes"]
        table.add_row(
            kind,
            f"{median(own['crops a second']):.1f}",
            f"{own['times raw']:.1f}",
            f"{peak / 2**20:.0f}",
            f"{peak / whole:.1%}",
            f"{result['disk bytes'][kind] / 2**20:.0f}" if kind in result["disk bytes"] else "",
        )
    console.print(table)
    for workers, run in result["run"].items():
        console.print(
            f"A run from the store, {workers} loading processes: {run['seconds a step']:.2f} s a "
            f"step, {run['waiting']:.1%} of it waiting"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=Path, default=None, help="folder of NIfTI files")
    parser.add_argument("--generated", type=int, nargs=2, default=[200, 256], help="count, edge")
    parser.add_argument("--small", action="store_true", help="a trial: 3 volumes of 40³, tiny run")
    parser.add_argument("--folder", type=Path, default=None, help="for all files; else temporary")
    parser.add_argument("--patch", type=int, nargs=3, default=[96, 96, 96])
    parser.add_argument("--spacing", type=float, nargs=3, default=None, help="mm; else the files'")
    parser.add_argument("--exact", action="store_true", help="a store that rounds nothing")
    parser.add_argument("--seconds", type=float, default=3, help="of each way in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--backbone", default="waveformer", help="name, or JSON with options")
    parser.add_argument("--steps", type=int, default=12, help="of the runs; 0: no run")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    if args.small:
        args.generated, args.patch, args.seconds, args.rounds = [3, 40], [16, 16, 16], 0.05, 2
        args.backbone = (
            '{"name": "waveformer", "widths": [8, 16], "depths": [1, 1], "heads": [1, 2]}'
        )
        args.steps, args.workers = 4, [0]
    if 0 < args.steps < 4:
        parser.error(f"--steps {args.steps}: the first two are not counted, give 4 or more, or 0")
    asked = {k: v for k, v in vars(args).items() if k not in ("out", "folder", "volumes")}
    asked["volumes"] = None if args.volumes is None else args.volumes.name
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        args.folder = Path(folder)
        if args.volumes is None:
            args.volumes = args.folder / "volumes"
            args.volumes.mkdir()
            generate(args.volumes, count=args.generated[0], edge=args.generated[1])
        spec = spec_of(args, store=False)
        seconds, filled = timed(
            lambda: fill_store(spec, store=args.folder / "store", exact=args.exact)
        )
        entries = [one.volume for one in filled.manifest.samples if one.volume is not None]
        result: dict[str, Any] = {
            "machine": machine(torch.device("cpu")),
            "arguments": asked,
            "volumes": len(entries),
            "voxels": sum(int(np.prod(entry["shape"])) for entry in entries),
            "filling": {
                "seconds a volume": seconds / len(entries),
                "dtypes": {
                    dtype: sum(entry["dtype"] == dtype for entry in entries)
                    for dtype in sorted({entry["dtype"] for entry in entries})
                },
                "rounding": max(entry["rounding"] for entry in entries),
            },
            "reading": measured(args),
        }
        result["disk bytes"] = {
            RAW: size_of(args.volumes),
            PERSISTENT: size_of(args.folder / "persistent"),
            STORE: size_of(args.folder / "store"),
        }
        result["run"] = {
            str(workers): waiting(run_spec(args, workers=workers))
            for workers in (args.workers if args.steps else ())
        }
    show(result, wide_console())
    if args.out:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
