"""`finetune`: from a spec and labelled volumes to a trained, measured model."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import torch
from lightning.fabric import Fabric
from rich.console import Console

import ssl3d
from ssl3d.data.data_error import shown
from ssl3d.data.labelled.batches import LabelledBatches
from ssl3d.data.labelled.resumed import table_digests
from ssl3d.data.labelled.volumes import LabelledVolumes
from ssl3d.data.listing import Listing
from ssl3d.files import write_json
from ssl3d.folder import RunFolder
from ssl3d.geometry import product
from ssl3d.plugin.origin import plugins_of
from ssl3d.run.environment import add_start, environment
from ssl3d.run.fit import fit
from ssl3d.run.launch import launched
from ssl3d.run.lock import RunLock
from ssl3d.run.precision import with_precision
from ssl3d.run.resume import check_new, write_spec
from ssl3d.run.signals import stoppable
from ssl3d.tasks.finetune.cases import TABLES, seen_before, volumes_of_run
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.paths import absolute
from ssl3d.tasks.finetune.resolved import Resolved, resolved, sizes_in_words
from ssl3d.tasks.finetune.result import FinetuneResult, print_result
from ssl3d.tasks.finetune.resumable import resumable
from ssl3d.tasks.finetune.spec import FinetuneSpec
from ssl3d.tasks.finetune.start import starting_model
from ssl3d.tasks.finetune.static_shapes import why_not_static
from ssl3d.tasks.finetune.task import FinetuneTask
from ssl3d.tasks.loaded import Loaded, write_loaded
from ssl3d.tasks.machine import decided, machine_remarks


@stoppable()
def finetune(
    spec: FinetuneSpec,
    *,
    out: str | os.PathLike[str],
    resume: bool = False,
    console: Console | None = None,
    fabric: Fabric | None = None,
) -> FinetuneResult:
    """Train a spec's model on labelled volumes, test it, and write everything into a folder.

    The folder gets the spec, the list of its files, the environment, `metrics.csv` by step,
    checkpoints, the model for `load_model`, and in `test/` the numbers over the test cases and of
    each of them. A run that was stopped goes on from its newest checkpoint to exactly where it
    would have come without the stop.

    Args:
        spec: what to do.
        out: the folder; new, unless `resume`.
        resume: go on with the run in `out`. Relative paths of the spec start from the folder where
            the run was begun.
        console: where progress and results are printed; the terminal by default.
        fabric: of `launched`, for several runs by the same ranks; None: it is launched here.

    Raises:
        SpecError: the spec does not fit its encoder.
        RunError: the folder or the spec does not fit, or too many steps were not finite.
        DataError: the volumes cannot be used, or are not those that the run was begun with.
    """
    began, folder, notes = time.monotonic(), RunFolder(out), list[str]()
    before: Listing | None = None
    if resume:
        spec, before = resumable(folder, spec)
    else:
        check_new(folder)
        spec = absolute(spec, folder=Path.cwd())
    asked = spec.trainer.precision
    spec = _with_precision(spec)
    made = resolved(spec)
    fabric = launched(made.trainer) if fabric is None else fabric
    fabric.barrier()  # nobody writes before all ranks have come here
    main = fabric.global_rank == 0
    data = spec.data
    voxels = data.batch_size * data.crops * product(made.patch)
    machine = decided(
        made.trainer,
        asked=asked,
        workers=data.workers,
        batch=voxels * (4 * made.in_channels + 1),
        not_static=why_not_static(spec),
        fabric=fabric,
    )
    # The folder keeps `auto`: the run may go on where there are more or fewer CPUs.
    here = spec.model_copy(update={"data": data.model_copy(update={"workers": machine.workers})})
    made = replace(made, spec=here)
    console = (console or Console()) if main else Console(quiet=True)

    def warn(text: str) -> None:
        text = shown(text)  # names may be no UTF-8
        notes.append(text)
        console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    for remark in (*made.remarks, *machine_remarks(made.trainer, fabric=fabric)):
        warn(remark)
    batch = spec.data.batch_size * made.trainer.accumulate * fabric.world_size
    model, loaded = starting_model(made, samples_per_step=batch)
    with RunLock(folder, main=main, say=warn) as lock:
        volumes = volumes_of_run(made, folder=folder, fabric=fabric, before=before, warn=warn)
        if main:
            for text in seen_before(made, volumes):
                warn(text)
        batches = LabelledBatches(volumes, patch=made.patch, augment=spec.augment, seed=spec.seed)
        if spec.task.per == "case":
            targets = [case.targets for case in volumes.sides.training]
            model.task.see_targets(torch.tensor(targets))

        def begin(step: int) -> None:
            volumes.listing.write(folder.data)  # before the spec, which says that there is a run
            write_json(folder.root / TABLES, table_digests(spec.data))
            write_spec(folder, spec)
            if not step:
                write_loaded(folder.root, loaded)
            components = (made.backbone, *spec.components())
            device = str(fabric.device)
            entry = environment(components, device=device, step=step, **machine.entry)
            for text in add_start(folder.environment, entry):
                warn(text)
            _greet(console, model, made=made, volumes=volumes, loaded=loaded, folder=folder)
            console.print(machine.words, markup=False, highlight=False, soft_wrap=True)
            if step:
                console.print(f"Going on from step {step} of {made.trainer.steps}")

        task = FinetuneTask(model, resolved=made, batches=batches, begin=begin, notes=notes)
        fitted = fit(
            task,
            trainer=made.trainer,
            optimizer=spec.optimizer,
            seed=spec.seed,
            folder=folder.root,
            resume=resume,
            fabric=fabric,
            lock=lock,
            began=began,
            about={
                "spec": spec.to_json(),
                "ssl3d": ssl3d.__version__,
                "plugins": plugins_of((made.backbone, *spec.components())),
            },
            parameters=spec.to_dict(),
            console=console,
            warn=warn,
        )
    if main:
        print_result(task.result, console=console, said=len(notes))
    return replace(task.result, asked=fitted.asked)


def _with_precision(spec: FinetuneSpec) -> FinetuneSpec:
    """With the precision of these devices, in which windows are predicted too."""
    trainer, windows = with_precision(spec.trainer), spec.windows
    if windows.precision == "auto":
        windows = windows.model_copy(update={"precision": trainer.precision})
    return spec.model_copy(update={"trainer": trainer, "windows": windows})


def _greet(
    console: Console,
    model: FinetuneModel,
    *,
    made: Resolved,
    volumes: LabelledVolumes,
    loaded: list[Loaded],
    folder: RunFolder,
) -> None:
    """Say what is about to happen."""
    for part in loaded:
        console.print(str(part), markup=False, highlight=False, soft_wrap=True)
    sides = volumes.sides
    choosing = f", {len(sides.choosing)} to choose by" if sides.choosing else ""
    parameters = sum(p.numel() for p in model.parameters())
    console.print(
        f"Fine-tuning {sizes_in_words(made)} ({parameters / 1e6:.3g} M parameters) on "
        f"{len(sides.training)} cases{choosing}, {len(sides.testing)} to test on, into "
        f"{shown(folder.root)}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
