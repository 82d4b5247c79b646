"""What the machine gives: copies, matrix products, and crops of the loader on their way to it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from internals import Batches, ExperimentSpec, RunVolumes
from settings import WAVE, Settings
from timing import timed


def ceilings(settings: Settings) -> dict[str, Any]:
    """Memory in TB/s (read and written), matrix products in TFLOP/s."""
    size, edge = (1 << 30, 8192) if settings.cuda else (1 << 20, 256)
    source = torch.empty(size, dtype=torch.uint8, device=settings.device).random_()
    to = torch.empty_like(source)
    copy = timed({"copy": lambda: to.copy_(source)}, settings, warm=3)["copy"]["ms"]
    found = {"copy TB/s": 2 * size / copy / 1e9}
    for dtype in (torch.bfloat16, torch.float32):
        x, y = (torch.randn(edge, edge, device=settings.device, dtype=dtype) for _ in range(2))
        product = timed({"mm": lambda x=x, y=y: x @ y}, settings, warm=3)["mm"]["ms"]
        found[f"{dtype} mm TFLOP/s"] = 2 * edge**3 / product / 1e9
    print(found)
    settings.save("ceilings", found)
    return found


def loader(settings: Settings) -> dict[str, Any]:
    """Crops a second, from volumes in memory, by edge of a crop, workers and precision.

    Of each edge also what a batch weighs, and the milliseconds that it takes to a GPU.
    """
    found: dict[str, Any] = {}
    size, seconds = (64, 0.2) if settings.tiny else (192, 3)
    cases = ((32, 4, (1,)),) if settings.tiny else ((96, 32, (2, 15)), (160, 2, (15,)))
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for i in range(4):
            values = rng.random((size,) * 3, dtype=np.float32)
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), Path(folder) / f"{i}.nii.gz")
        for patch, batch, several in cases:
            for half in (False, True):
                name = f"{patch}³, {'half' if half else 'single'}"
                for workers in several:
                    made = batches_of(folder, patch, batch, workers, settings, half=half)
                    rate = crops_a_second(made, settings, seconds=seconds)
                    found[f"{name}, {workers} workers"] = rate
                found[f"{name}, a batch"] = transfer(made, settings)
    print({k: v if isinstance(v, dict) else round(v, 1) for k, v in found.items()})
    settings.save("loader", found)
    return found


def batches_of(
    folder: str, patch: int, batch: int, workers: int, settings: Settings, *, half: bool
) -> Batches:
    """The batches of a run on these volumes."""
    data = {"volumes": folder, "patch": patch, "batch_size": batch, "workers": workers}
    spec = ExperimentSpec(
        backbone=WAVE,
        masker={"name": "random", "ratio": settings.hidden},
        data={**data, "cache": {"folder": f"{folder}/cache", "memory": 16.0}},
    )
    volumes = RunVolumes(spec.data)
    volumes.find()
    views = spec.views.build(patch=spec.data.patch, cell=spec.cell_size, masker=spec.masker)
    return Batches(volumes, views=views, masker=spec.masker.build(), seed=0, half=half)


def crops_a_second(made: Batches, settings: Settings, *, seconds: float) -> float:
    """Crops with their views, after the workers have filled their queues."""
    batches = iter(made.training())
    for _ in range(3 * made.volumes.workers):
        next(batches)
    start, taken = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        batch = next(batches)
        if settings.cuda:
            batch.to("cuda")
        taken += len(batch)
    return taken / (time.perf_counter() - start)


def transfer(made: Batches, settings: Settings) -> dict[str, float]:
    """MiB of the voxels of a batch, and milliseconds to the device and to single precision."""
    batch = next(iter(made.training()))
    (views,) = (batch.batch if made.half else batch).views
    weight = views.volume.nbytes + (0 if views.valid is None else views.valid.nbytes)
    spent = timed({"to": lambda: batch.to(settings.device)}, settings)["to"]["ms"]
    return {"MiB": weight / 2**20, "ms": spent}
