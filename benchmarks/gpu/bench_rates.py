"""What the machine gives: rates of copies and matrix products, and crops a second of the loader."""

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
    """Crops a second, from volumes in memory, by edge of a crop and workers."""
    found = {}
    size, seconds = (64, 0.2) if settings.tiny else (192, 4)
    cases = ((32, 4, 1),) if settings.tiny else ((96, 8, 2), (96, 8, 14), (160, 2, 14))
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for i in range(4):
            values = rng.random((size,) * 3, dtype=np.float32)
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), Path(folder) / f"{i}.nii.gz")
        for patch, batch, workers in cases:
            cache = {"folder": f"{folder}/cache", "memory": 16.0}
            data = {"volumes": folder, "patch": patch, "batch_size": batch, "workers": workers}
            spec = ExperimentSpec(
                backbone=WAVE,
                masker={"name": "random", "ratio": settings.hidden},
                data={**data, "cache": cache},
            )
            rate = crops_a_second(spec, settings, seconds=seconds)
            found[f"{patch}³, {workers} workers"] = rate
    print({key: round(rate, 1) for key, rate in found.items()}, "crops a second")
    settings.save("loader", found)
    return found


def crops_a_second(spec: ExperimentSpec, settings: Settings, *, seconds: float) -> float:
    """Crops with their views, after the workers have filled their queues."""
    volumes = RunVolumes(spec.data)
    volumes.find()
    views = spec.views.build(patch=spec.data.patch, cell=spec.cell_size, masker=spec.masker)
    made = Batches(volumes, views=views, masker=spec.masker.build(), seed=0)
    batches = iter(made.training())
    for _ in range(3 * spec.data.workers):
        next(batches)
    start, taken = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        batch = next(batches)
        if settings.cuda:
            batch.to("cuda")
        taken += len(batch)
    return taken / (time.perf_counter() - start)
