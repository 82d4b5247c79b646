"""The time of a step, by a short trial."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

import torch
from torch.nn.utils import clip_grad_norm_

from ssl3d.data.collate import Sample, collate
from ssl3d.data.region import TensorRegion
from ssl3d.geometry import Triple
from ssl3d.kinds.batch import Batch
from ssl3d.kinds.views import views_of
from ssl3d.masked.model import PretrainModel
from ssl3d.run.optimizer import optimizer_of, parameter_groups
from ssl3d.run.precision import autocast, lacks, tf32, with_precision
from ssl3d.run.run_error import RunError
from ssl3d.streams import Seeds, Stream, generator, global_seed
from ssl3d.tasks.pretrain.spec import ExperimentSpec

MOST, ENOUGH = 10, 5.0
"""Trials: at most so many, and no more once they took so many seconds."""


@dataclass(frozen=True)
class StepTime:
    """What a step takes on one device.

    Attributes:
        seconds: of an optimiser step with all its micro-batches, the median over the trials.
        trials: micro-batches that were measured, after one that was not.
        device: such as `cpu`.
    """

    seconds: float
    trials: int
    device: str


def time_step(spec: ExperimentSpec) -> StepTime:
    """Take a few steps on noise in place of volumes, whose reading is not counted.

    Raises:
        RunError: the machine lacks the device or the precision that the spec asks for.
    """
    device, how = _device(spec), with_precision(spec.trainer)
    lacking = lacks(how.precision, device=device)
    if lacking is not None:
        raise RunError(f"trainer.precision: {lacking}")
    model = spec.build().to(device)
    optimizer = optimizer_of(spec.optimizer, groups=parameter_groups(model))
    random = generator(spec.seed, Stream.TRIAL)
    samples, patch = spec.data.batch_size, spec.data.patch
    # What it costs to make is that of reading processes.
    batch = noise_batch(model, spec=spec, samples=samples, patch=patch).to(device)
    batches, updates = list[float](), list[float]()
    with (
        global_seed(spec.seed, Stream.LAYERS, 0, device=device),
        tf32(bool(how.tf32), device=device),
    ):
        while len(batches) <= MOST and sum(batches[1:]) < ENOUGH:
            start = _now(device)
            with autocast(how.precision, device=device):
                loss = model.step(batch, generator=random).loss
            torch.autograd.backward(loss)
            done = _now(device)
            if spec.optimizer.clip is not None:
                clip_grad_norm_(model.parameters(), spec.optimizer.clip)
            optimizer.step()
            optimizer.zero_grad()
            batches.append(done - start)
            updates.append(_now(device) - done)
    # The first one also pays for what is set up once.
    seconds = spec.trainer.accumulate * median(batches[1:]) + median(updates[1:])
    return StepTime(seconds, trials=len(batches) - 1, device=str(device))


def noise_batch(
    model: PretrainModel, *, spec: ExperimentSpec, samples: int, patch: Triple
) -> Batch:
    """Views of noise in place of volumes, of crops of `patch` voxels."""
    views = spec.views.build(patch=patch, cell=spec.cell_size, masker=spec.masker)
    random = generator(spec.seed, Stream.TRIAL)
    made = []
    for number in range(samples):
        volume = torch.randn(spec.data.sample_channels, *views.extent, generator=random)
        region = TensorRegion(volume, torch.ones_like(volume[0], dtype=torch.bool))
        seeds = Seeds(spec.seed, sample=number, first=0)
        drawn = views_of(region, views=views, masker=model.masker, seeds=seeds)
        made.append(Sample(drawn, number, "noise"))
    return collate(made, levels=views.levels, cell=views.cell)


def _device(spec: ExperimentSpec) -> torch.device:
    wanted = spec.trainer.accelerator
    if wanted == "gpu" and not torch.cuda.is_available():
        raise RunError("trainer.accelerator: gpu, and torch sees no CUDA device here: use auto")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
