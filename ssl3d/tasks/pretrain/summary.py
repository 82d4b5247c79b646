"""What a spec comes to before it is run: parameters, cells, expected memory. Needs no data."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from ssl3d.geometry import Triple, product, quotient, show, times
from ssl3d.tasks.pretrain.activations import activations_of_a_crop
from ssl3d.tasks.pretrain.spec import ExperimentSpec
from ssl3d.tasks.pretrain.step_time import noise_batch, time_step


@dataclass(frozen=True)
class ModelSummary:
    """Size and cost of a run.

    Attributes:
        encoder: parameters of what is exported.
        feature_encoder: parameters of the encoder of visible features, used in pre-training only;
            0 where the input is hidden.
        decoder: parameters of the decoder, used in pre-training only; 0 where there is none.
        losses: parameters of projection heads, used in pre-training only.
        cell: voxels per cell.
        grid: cells per axis of a crop.
        passes: of the encoder over the views of one crop: of each level.
        encoded: cells of all passes.
        visible: those of them that the encoder sees, in one draw.
        activations: bytes that the backward pass of one crop keeps; with `views_at_once` also those
            of one part, which are there for a while.
        measured: patch on which `activations` was measured. Where it is smaller than the spec's, a
            smaller one was too, and what a cell adds was taken as often as there are more: weights
            in half precision are kept once, whatever the patch.
        memory: bytes that a step is expected to need on each device: weights, gradients, optimiser
            state and the activations of a micro-batch. What libraries reserve, and what a layer
            needs for a moment, comes on top.
    """

    encoder: int
    feature_encoder: int
    decoder: int
    losses: int
    cell: Triple
    grid: Triple
    passes: tuple[int, ...]
    encoded: int
    visible: int
    activations: int
    measured: Triple
    memory: int

    @property
    def parameters(self) -> int:
        """All parameters that are trained."""
        return self.encoder + self.feature_encoder + self.decoder + self.losses


def summarise(spec: ExperimentSpec) -> ModelSummary:
    """Build the model and run one forward pass of one crop of noise on the CPU.

    The bytes kept for the backward pass are counted as autograd saves them, each storage once,
    parameters left out. Measured against it: two steps of the default network on two crops of 96³
    raised a process by 735 MiB on a CPU, where this says 649.
    """
    model = spec.build()
    grid = quotient(spec.data.patch, spec.cell_size)
    activations, part = activations_of_a_crop(model, spec=spec)
    measured = times(part, spec.cell_size)
    encoder, losses = _count(model.backbone), _count(model.losses)
    features, decoder = (
        0 if part is None else _count(part) for part in (model.feature_encoder, model.decoder)
    )
    # Weights and gradients in single precision, and AdamW's two moments or SGD's one.
    copies = 3 if spec.optimizer.name == "sgd" else 4
    average = encoder if spec.optimizer.ema else 0
    batch = noise_batch(model, spec=spec, samples=1, patch=spec.data.patch)
    cells = [view.cells for view in batch.views]
    return ModelSummary(
        encoder=encoder,
        feature_encoder=features,
        decoder=decoder,
        losses=losses,
        cell=spec.cell_size,
        grid=grid,
        passes=tuple(len(view) for view in batch.views),
        encoded=sum(one.visible.numel() for one in cells),
        visible=sum(one.n for one in cells),
        activations=activations,
        measured=measured,
        memory=4 * (copies * (encoder + features + decoder + losses) + average)
        + activations * spec.data.batch_size,
    )


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def print_summary(
    spec: ExperimentSpec, *, time: bool = False, console: Console | None = None
) -> None:
    """Print the resolved spec, and what it comes to; with `time` also what a step takes here."""
    console = console or Console()
    console.print(Text(spec.to_yaml()), soft_wrap=True)
    found = summarise(spec)
    cells, share = product(found.grid), found.visible / found.encoded
    table = Table(show_header=False)
    table.add_row("encoder", f"{found.encoder:,} parameters")
    if spec.feature_encoder is not None:
        table.add_row(
            "feature encoder", f"{found.feature_encoder:,} parameters, in pre-training only"
        )
    decoder = f"{found.decoder:,} parameters, in pre-training only"
    table.add_row("decoder", decoder if spec.restores else "none: no loss needs a restoration")
    if found.losses:
        table.add_row("losses", f"{found.losses:,} parameters, in pre-training only")
    extent = spec.views.extent(spec.data.patch)
    if extent != spec.data.patch:
        table.add_row("crop", f"{show(extent)} voxels, for views of {show(spec.data.patch)}")
    table.add_row("cell", f"{show(found.cell)} voxels")
    table.add_row(
        "cells of a view" if extent != spec.data.patch else "cells of a crop",
        f"{cells} ({show(found.grid)})",
    )
    if sum(found.passes) > 1:
        levels = " + ".join(map(str, found.passes))
        levels = f" ({levels})" if len(found.passes) > 1 else ""
        table.add_row("passes", f"{sum(found.passes)} of the encoder a crop{levels}")
        whole = found.visible / cells
        table.add_row("cost", f"the cells that it sees are as many as those of {whole:.3g} crops")
    visible = f"{found.visible} of {found.encoded} cells ({share:.0%}), in one draw"
    table.add_row("visible", visible)
    table.add_row(
        "expected memory",
        f"{found.memory / 2**30:.2f} GiB a device for {spec.data.batch_size} crops: weights, "
        f"gradients, optimiser, and {found.activations / 2**20:.0f} MiB of activations a crop, "
        f"counted on {show(found.measured)} voxels"
        + (", half of them, and extrapolated" if found.measured != spec.data.patch else ""),
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
