"""`pretrain`: train a spec on its volumes and leave a folder to judge it by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning_utilities.core.rank_zero import rank_zero_only
from rich.console import Console

from ssl3d.data import DataModule
from ssl3d.encoder import WEIGHTS
from ssl3d.report.environment import environment
from ssl3d.report.finish import finish, print_result, restoration_label
from ssl3d.report.write import write_json
from ssl3d.spec import ExperimentSpec
from ssl3d.train.checkpoints import AtomicCheckpointIO, Checkpoints, read_checkpoint
from ssl3d.train.errors import RunError
from ssl3d.train.folder import RunFolder
from ssl3d.train.held_out import HeldOut
from ssl3d.train.interrupt import StopOnSignal
from ssl3d.train.loggers import make_loggers
from ssl3d.train.metrics import Metrics, MetricsFile
from ssl3d.train.module import KEY, PretrainModule
from ssl3d.train.progress import ProgressBar
from ssl3d.train.quiet import quiet_lightning
from ssl3d.train.result import RunResult

PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def pretrain(
    spec: ExperimentSpec,
    *,
    out: str | os.PathLike[str],
    resume: bool = False,
    console: Console | None = None,
) -> RunResult:
    """Pre-train a spec's backbone and write everything about it into a folder.

    The folder gets the resolved spec, the environment, `metrics.csv`, checkpoints, the encoder for
    `load_encoder`, pictures and a summary. A run that was stopped, by Ctrl-C or a crash, goes on
    from its newest checkpoint to exactly where it would have come without the stop.

    Args:
        spec: what to do.
        out: the folder; new, unless `resume`.
        resume: go on with the run in `out`.
        console: where progress and results are printed; the terminal by default.

    Returns:
        Held-out loss, the trivial prediction's, and where everything is.

    Raises:
        RunError: the folder or the spec does not fit, or the loss is not finite.
        DataError: the volumes cannot be used.
    """
    folder, main = RunFolder(out), getattr(rank_zero_only, "rank", 0) == 0
    console = (console or Console()) if main else Console(quiet=True)
    if resume:
        folder.check_resumable(spec)
    elif main:
        folder.check_new()
    checkpoint = folder.newest_checkpoint() if resume else None
    done = read_checkpoint(checkpoint)[KEY] if checkpoint else {"step": 0, "samples": 0}
    module = PretrainModule(spec.build(), spec=spec)
    data = _data(spec, folder=folder, start_sample=done["samples"], main=main)
    stop = StopOnSignal(console)
    file = MetricsFile(folder.metrics, last_step=done["step"]) if main else None
    metrics = Metrics(file)
    label = restoration_label(module.model)
    # In this order: each may look at what those before it have measured in the same step.
    callbacks: list[lightning.Callback] = [
        stop,
        HeldOut(metrics),
        metrics,
        ProgressBar(console, metrics=metrics, shown=f"held_out/{label}"),
        Checkpoints(folder),
    ]
    # Loaders of data draw from the global generator: it is given back as it was.
    with quiet_lightning(), torch.random.fork_rng(devices=[]):
        trainer = _trainer(spec, folder=folder, step=done["step"], callbacks=callbacks)
        device = trainer.strategy.root_device
        if main:
            folder.write_spec(spec)
            write_json(folder.environment, environment(spec, device=str(device)))
            _greet(console, module, data=data, folder=folder, step=done["step"])
        if done["step"] < spec.trainer.steps:
            with stop.listening():
                _fit(trainer, module, data=data, checkpoint=checkpoint)
    newest = folder.newest_checkpoint()
    assert newest is not None, "a run saves at its last step and when it is stopped"
    if not main:
        encoder = folder.root / WEIGHTS
        return RunResult(folder.root, step=module.step, finished=not stop.stopped, encoder=encoder)
    result = finish(
        newest, spec=spec, folder=folder, data=data, device=device, finished=not stop.stopped
    )
    print_result(result, console=console)
    return result


def _data(spec: ExperimentSpec, *, folder: RunFolder, start_sample: int, main: bool) -> DataModule:
    """The volumes, found and split: before the folder counts as a run, so that a mistake in the
    paths leaves none behind.
    """
    folder.root.mkdir(parents=True, exist_ok=True)
    data = DataModule(spec.data, seed=spec.seed, start_sample=start_sample, record=folder.bad_files)
    if main:
        data.prepare_data()
    data.setup()
    return data


def _trainer(
    spec: ExperimentSpec, *, folder: RunFolder, step: int, callbacks: list[lightning.Callback]
) -> lightning.Trainer:
    """Lightning's trainer for the rest of the steps.

    Raises:
        RunError: the machine lacks what the spec asks for.
    """
    options = spec.trainer
    loggers = make_loggers(spec, folder=folder, last_step=step)
    try:
        trainer = lightning.Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.nodes,
            strategy=options.strategy,
            precision=PRECISIONS[options.precision],
            max_steps=max(0, options.steps - step),
            max_epochs=-1,
            accumulate_grad_batches=options.accumulate,
            logger=loggers,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            default_root_dir=folder.root,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
        )
    except (MisconfigurationException, ValueError) as error:
        raise RunError(f"trainer: {error}") from error
    if options.precision == "16" and trainer.strategy.root_device.type == "cpu":
        raise RunError("trainer.precision: 16 needs a GPU; given a CPU: use 32 or bf16")
    return trainer


def _fit(
    trainer: lightning.Trainer,
    module: PretrainModule,
    *,
    data: DataModule,
    checkpoint: Path | None,
) -> None:
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    except SystemExit as leave:
        # Lightning's answer to a second Ctrl-C, which in a notebook would end the kernel.
        raise KeyboardInterrupt from leave


def _greet(
    console: Console, module: PretrainModule, *, data: DataModule, folder: RunFolder, step: int
) -> None:
    """Say what is about to happen."""
    spec = module.spec
    encoder = sum(p.numel() for p in module.model.backbone.parameters())
    console.print(
        f"Pre-training {spec.backbone.name} ({encoder / 1e6:.3g} M parameters) on "
        f"{len(data.train_files)} volumes, {len(data.held_out_files)} held out, into {folder.root}",
        markup=False,
        soft_wrap=True,
    )
    if step:
        console.print(f"Going on from step {step} of {spec.trainer.steps}")
