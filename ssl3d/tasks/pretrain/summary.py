"""What a spec comes to before it is run: parameters, cells, expected memory. Needs no data."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from ssl3d.geometry import Triple, product, quotient, show, times
from ssl3d.masked.model import PretrainModel
from ssl3d.streams import Stream, generator
from ssl3d.tasks.pretrain.spec import ExperimentSpec
from ssl3d.tasks.pretrain.step_time import noise_batch, time_step

MOST_CELLS = 64
"""Larger patches are measured on a part of this many cells, and scaled."""


@dataclass(frozen=True)
class ModelSummary:
    """Size and cost of a run.

    Attributes:
        encoder: parameters of what is exported.
        decoder: parameters of the decoder, used in pre-training only; 0 where there is none.
        losses: parameters of projection heads, used in pre-training only.
        cell: voxels per cell.
        grid: cells per axis of a crop.
        visible: cells of a crop that the encoder sees, in one draw.
        activations: bytes that the backward pass of one crop keeps.
        measured: patch on which `activations` was measured; scaled by cells where it is smaller
            than the spec's.
        memory: bytes that a step is expected to need on each device: weights, gradients, optimiser
            state and the activations of a micro-batch. What libraries reserve, and what a layer
            needs for a moment, comes on top.
    """

    encoder: int
    decoder: int
    losses: int
    cell: Triple
    grid: Triple
    visible: int
    activations: int
    measured: Triple
    memory: int

    @property
    def parameters(self) -> int:
        """All parameters that are trained."""
        return self.encoder + self.decoder + self.losses


def summarise(spec: ExperimentSpec) -> ModelSummary:
    """Build the model and run one forward pass of one crop of noise on the CPU.

    The bytes kept for the backward pass are counted as autograd saves them, each storage once,
    parameters left out. Measured against it: two steps of the default network on two crops of 96³
    raised a process by 735 MiB on a CPU, where this says 649.
    """
    model = spec.build()
    grid = quotient(spec.data.patch, spec.cell_size)
    part = _part(grid)
    measured = times(part, spec.cell_size)
    saved = _saved_bytes(model, spec=spec, patch=measured)
    activations = saved * product(grid) // product(part)
    encoder, losses = _count(model.backbone), _count(model.losses)
    decoder = 0 if model.decoder is None else _count(model.decoder)
    # Weights and gradients in single precision, and AdamW's two moments or SGD's one.
    copies = 3 if spec.optimizer.name == "sgd" else 4
    average = encoder if spec.optimizer.ema else 0
    cells = noise_batch(model, spec=spec, samples=1, patch=spec.data.patch).views[0].cells
    return ModelSummary(
        encoder=encoder,
        decoder=decoder,
        losses=losses,
        cell=spec.cell_size,
        grid=grid,
        visible=cells.n,
        activations=activations,
        measured=measured,
        memory=4 * (copies * (encoder + decoder + losses) + average)
        + activations * spec.data.batch_size,
    )


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _part(grid: Triple) -> Triple:
    """The grid, its longest axis halved until it has at most `MOST_CELLS` cells."""
    edges = list(grid)
    while product((edges[0], edges[1], edges[2])) > MOST_CELLS:
        longest = edges.index(max(edges))
        edges[longest] = -(-edges[longest] // 2)
    return (edges[0], edges[1], edges[2])


def _saved_bytes(model: PretrainModel, *, spec: ExperimentSpec, patch: Triple) -> int:
    """Bytes that the backward pass of one crop keeps."""
    batch = noise_batch(model, spec=spec, samples=1, patch=patch)
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    half = (
        torch.autocast("cpu", torch.bfloat16) if spec.trainer.precision != "32" else nullcontext()
    )
    with half, saved_tensors_hooks(note, lambda tensor: tensor):
        # The graph stays alive until the bytes are counted, so no address is used twice.
        output = model.step(batch, generator=generator(spec.seed, Stream.TRIAL))
    for parameter in model.parameters():
        sizes.pop(parameter.untyped_storage().data_ptr(), None)
    assert output.loss.requires_grad
    return sum(sizes.values())


def print_summary(
    spec: ExperimentSpec, *, time: bool = False, console: Console | None = None
) -> None:
    """Print the resolved spec, and what it comes to; with `time` also what a step takes here."""
    console = console or Console()
    console.print(Text(spec.to_yaml()), soft_wrap=True)
    found = summarise(spec)
    cells, share = product(found.grid), found.visible / product(found.grid)
    table = Table(show_header=False)
    table.add_row("encoder", f"{found.encoder:,} parameters")
    decoder = f"{found.decoder:,} parameters, in pre-training only"
    table.add_row("decoder", decoder if spec.restores else "none: no loss needs a restoration")
    if found.losses:
        table.add_row("losses", f"{found.losses:,} parameters, in pre-training only")
    table.add_row("cell", f"{show(found.cell)} voxels")
    table.add_row("cells of a crop", f"{cells} ({show(found.grid)})")
    table.add_row("visible", f"{found.visible} of {cells} ({share:.0%}), in one draw")
    table.add_row(
        "expected memory",
        f"{found.memory / 2**30:.2f} GiB a device for {spec.data.batch_size} crops: weights, "
        f"gradients, optimiser, and {found.activations / 2**20:.0f} MiB of activations a crop, "
        f"counted on {show(found.measured)} voxels"
        + (" and scaled by cells" if found.measured != spec.data.patch else ""),
    )
    if time:
        step = time_step(spec)
        hours = step.seconds * spec.trainer.steps / 3600
        table.add_row(
            "time of a step",
            f"{step.seconds:.3g} s on one device ({step.device}), {hours:,.1f} hours for "
            f"{spec.trainer.steps} steps: measured on noise ({step.trials} times, the median); "
            "reading volumes is not counted",
        )
    console.print(table)
