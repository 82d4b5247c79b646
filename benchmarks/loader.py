"""How fast crops and views are made, and how long a run waits for them.

Crops a second with views made in this process and in loading processes; what a batch costs part by
part and weighs in single and half precision; and of a short run with each number of processes the
share of a step that is spent waiting. On volumes of noise that are kept in memory, or those of
`--volumes`.

    python benchmarks/loader.py --out benchmarks/results/loader.json
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import nibabel
import numpy as np
import torch
from measure import interleaved, machine, median, wide_console, write_json
from rich.console import Console
from rich.table import Table
from torch.utils.data import Dataset

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.data import Batches, RunVolumes
from ssl3d.data.collate import Sample, collate
from ssl3d.data.half_batch import HalfBatch, halved
from ssl3d.data.loader import CropLoader
from ssl3d.data.region import TensorRegion
from ssl3d.streams import Seeds

VIEWS: dict[str, dict[str, Any]] = {
    "single": {"views": "single", "masker": {"name": "random", "ratio": 0.6}},
    "nested": {"views": "nested", "masker": "mim"},
}


MAKING = ("crops", "views", "collation")
"""Parts of making a batch; the others are of what then becomes of it."""


def spec_of(args: argparse.Namespace, views: str, *, workers: int, folder: Path) -> ExperimentSpec:
    return ExperimentSpec(
        backbone=json.loads(args.backbone) if args.backbone.startswith("{") else args.backbone,
        **VIEWS[views],
        data={
            "volumes": str(args.volumes or folder),
            "patch": args.patch,
            "batch_size": args.batch,
            "workers": workers,
            "holdout": 0,
            "cache": {"folder": str(folder / "cache"), "memory": 8.0},
        },
        trainer={"steps": max(1, args.steps), "pictures": 0, "loggers": [], "accelerator": "cpu"},
    )


def batches_of(spec: ExperimentSpec) -> Batches:
    """The batches of a run."""
    volumes = RunVolumes(spec.data)
    volumes.find()
    views = spec.views.build(patch=spec.data.patch, cell=spec.cell_size, masker=spec.masker)
    return Batches(volumes, views=views, masker=spec.masker.build(), seed=0)


def crops_a_second(batches: Batches, *, seconds: float) -> float:
    """After every process has read all volumes and filled its queue."""
    spec = batches.volumes.spec
    stream, taken = iter(batches.training()), 0
    volumes = len(batches.volumes.train_files)
    for _ in islice(stream, (3 + volumes) * max(1, spec.workers)):
        pass
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        taken += len(next(stream))
    return taken / (time.perf_counter() - start)


class Ready(Dataset[Sample]):
    """Samples that are there already."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def __getitem__(self, place: int) -> Sample:
        return self._samples[place % len(self._samples)]


def stacked(samples: list[Sample]) -> dict[str, torch.Tensor]:
    """The voxels alone, as a batch without views would have them."""
    views = [sample.views[0][0] for sample in samples]
    return {
        "volume": torch.stack([view.volume for view in views]),
        "valid": torch.stack([view.valid for view in views]),
    }


def parts(batches: Batches, *, rounds: int) -> dict[str, float]:
    """Milliseconds a batch: crops, views and collation in place, and the way through a worker."""
    spec, views = batches.volumes.spec, batches.views
    crops = batches.volumes.training_crops(seed=0, extent=views.extent)
    numbers = range(spec.batch_size)
    for i in range(len(batches.volumes.train_files)):
        crops[i]  # reads the volume
    regions = [TensorRegion(crops[i]["volume"], crops[i]["valid"]) for i in numbers]

    def made() -> list[Sample]:
        seeds = [Seeds(0, sample=i, first=0) for i in numbers]
        each = zip(regions, seeds, strict=True)
        return [
            Sample(views(region, masker=batches.masker, seeds=own), own.sample, "")
            for region, own in each
        ]

    samples = made()

    def joined(given: list[Sample]) -> Any:
        return collate(given, levels=views.levels, cell=views.cell)

    def through(join: Callable[[list[Sample]], Any]) -> Callable[[], object]:
        loader = CropLoader(
            Ready(samples),
            batch_size=spec.batch_size,
            sampler=range(10**9),
            workers=1,
            collate=join,
        )
        stream = iter(loader)
        return lambda: next(stream)

    batch = joined(samples)
    seconds = interleaved(
        {
            "crops": lambda: [crops[i] for i in numbers],
            "views": made,
            "collation": lambda: joined(samples),
            "to half": lambda: halved(batch),
        },
        rounds=rounds,
    )
    # One after the other: each has a process that works ahead.
    ways = (
        ("through a worker", joined),
        ("the same in half", lambda given: halved(joined(given))),
        ("voxels alone", stacked),
    )
    for name, join in ways:
        seconds |= interleaved({name: through(join)}, rounds=rounds, warm_up=5)
    return {name: 1e3 * median(values) for name, values in seconds.items()}


def weights(batches: Batches) -> dict[str, float]:
    """MiB of the voxels of a batch, and of what is valid of them, that cross to a device."""
    batch = next(iter(batches.training()))
    half = halved(batch)
    sent = half.batch if isinstance(half, HalfBatch) else half
    found = {}
    for name, one in (("single", batch), ("half", sent)):
        tensors = {id(t): t for view in one.views for t in (view.volume, view.valid)}
        found[name] = sum(t.nbytes for t in tensors.values() if t is not None) / 2**20
    return found


@contextlib.contextmanager
def watched() -> Iterator[list[tuple[float, float]]]:
    """(seconds of waiting, seconds of all else) of each batch of the training loaders inside."""
    found: list[tuple[float, float]] = []
    plain = CropLoader.__iter__

    def timed(self: CropLoader) -> Iterator[Any]:
        start = time.perf_counter()
        for batch in plain(self):
            given = time.perf_counter()
            yield batch
            found.append((given - start, time.perf_counter() - given))
            start = time.perf_counter()

    with mock.patch.object(CropLoader, "__iter__", timed):
        yield found


def waiting(spec: ExperimentSpec) -> dict[str, float]:
    """A run's seconds a step and the share of them that it waits for its data."""
    with tempfile.TemporaryDirectory() as folder, watched() as found:
        ssl3d.pretrain(spec, out=Path(folder) / "run", console=Console(file=io.StringIO()))
    found = found[2:]  # the first fill the queue
    waits, whole = sum(one for one, _ in found), sum(map(sum, found))
    return {"seconds a step": whole / len(found), "waiting": waits / whole}


def measure(args: argparse.Namespace, folder: Path, result: dict[str, Any]) -> None:
    for views in args.views:
        rates, waits = {}, {}
        for workers in args.workers:
            spec = spec_of(args, views, workers=workers, folder=folder)
            rates[str(workers)] = crops_a_second(batches_of(spec), seconds=args.seconds)
            if args.steps:
                waits[str(workers)] = waiting(spec)
        batches = batches_of(spec_of(args, views, workers=0, folder=folder))
        result["views"][views] = {
            "crops a second": rates,
            "ms a batch": parts(batches, rounds=args.rounds),
            "MiB a batch": weights(batches),
            "run": waits,
        }
        if args.out:
            write_json(args.out, result)


def show(result: dict[str, Any], console: Console) -> None:
    rates = Table("views", "workers", "crops / s", "to the first", "a step, s", "of it waiting")
    for views, found in result["views"].items():
        first = next(iter(found["crops a second"].values()))
        for workers, rate in found["crops a second"].items():
            run = found["run"].get(workers)
            cells = [f"{run['seconds a step']:.3f}", f"{run['waiting']:.1%}"] if run else ["", ""]
            rates.add_row(views, workers, f"{rate:.1f}", f"{rate / first:.2f}", *cells)
    console.print(rates)
    costs = Table("views", "part", "ms a batch", "share of making it")
    for views, found in result["views"].items():
        spent = found["ms a batch"]
        whole = sum(spent[name] for name in MAKING)
        for name, value in spent.items():
            share = f"{value / whole:.1%}" if name in MAKING else ""
            costs.add_row(views, name, f"{value:.2f}", share)
    console.print(costs)
    console.print(
        "through a worker: collation there and the way here, of samples that are ready; in half: "
        "with voxels rounded there, as runs in bf16 and 16 on a GPU have it; voxels alone: the "
        "same of volume and valid without views."
    )
    for views, found in result["views"].items():
        weight = found["MiB a batch"]
        console.print(f"{views}: {weight['single']:.1f} MiB a batch, {weight['half']:.1f} in half")


def write_noise(folder: Path, *, count: int, edge: int) -> None:
    """Volumes of noise."""
    random = np.random.default_rng(0)
    for i in range(count):
        values = random.random((edge,) * 3, dtype=np.float32)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / f"{i}.nii.gz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=Path, default=None, help="folder; else noise")
    parser.add_argument("--noise", type=int, nargs=2, default=[4, 160], help="volumes, edge")
    parser.add_argument("--backbone", default="waveformer", help="name, or JSON with options")
    parser.add_argument("--patch", type=int, nargs=3, default=[96, 96, 96])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--views", nargs="+", default=list(VIEWS), choices=list(VIEWS))
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=12, help="of the runs; 0: no run")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    if 0 < args.steps < 4:
        parser.error(f"--steps {args.steps}: the first two are not counted, give 4 or more, or 0")
    result: dict[str, Any] = {
        "machine": machine(torch.device("cpu")),
        "arguments": {k: str(v) if k == "volumes" else v for k, v in vars(args).items()},
        "views": {},
    }
    result["arguments"].pop("out")
    with tempfile.TemporaryDirectory() as folder:
        if args.volumes is None:
            write_noise(Path(folder), count=args.noise[0], edge=args.noise[1])
        measure(args, Path(folder), result)
    show(result, wide_console())


if __name__ == "__main__":
    main()
