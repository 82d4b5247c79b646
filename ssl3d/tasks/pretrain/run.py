"""`pretrain`: train a spec on its volumes and leave a folder to judge it by."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import lightning
import torch
from lightning.pytorch.strategies import FSDPStrategy
from lightning_utilities.core.rank_zero import rank_zero_only
from rich.console import Console

from ssl3d.data import Batches, DataWarning, RunVolumes
from ssl3d.data.data_error import shown
from ssl3d.data.resumed import Earlier
from ssl3d.data.sizes import size_warnings
from ssl3d.files import write_json
from ssl3d.folder import RunFolder
from ssl3d.run.checkpoints import read_checkpoint
from ssl3d.run.environment import environment
from ssl3d.run.interrupt import StopOnSignal
from ssl3d.run.metrics_file import MetricsFile
from ssl3d.run.module import KEY
from ssl3d.run.quiet import quiet_lightning
from ssl3d.run.resume import check_new, write_spec
from ssl3d.run.run_error import RunError
from ssl3d.run.trainer import make_trainer
from ssl3d.tasks.encoder import WEIGHTS, warm_start
from ssl3d.tasks.pretrain.callbacks import make_callbacks
from ssl3d.tasks.pretrain.checkpoint_weights import check_decoder
from ssl3d.tasks.pretrain.finish import finish
from ssl3d.tasks.pretrain.module import LightningBatches, PretrainModule
from ssl3d.tasks.pretrain.paths import absolute
from ssl3d.tasks.pretrain.result import RunResult, print_result
from ssl3d.tasks.pretrain.resumable import resumable
from ssl3d.tasks.pretrain.spec import ExperimentSpec


def pretrain(
    spec: ExperimentSpec,
    *,
    out: str | os.PathLike[str],
    resume: bool = False,
    accept_changed_data: bool = False,
    console: Console | None = None,
) -> RunResult:
    """Pre-train a spec's backbone and write everything about it into a folder.

    The folder gets the resolved spec, the environment, `metrics.csv`, checkpoints, the encoder for
    `load_encoder`, pictures and a summary. A run that was stopped, by Ctrl-C or a crash, goes on
    from its newest checkpoint to exactly where it would have come without the stop.

    Args:
        spec: what to do.
        out: the folder; new, unless `resume`.
        resume: go on with the run in `out`. Relative paths of the spec start from the folder where
            it was begun.
        accept_changed_data: go on where files were added, are missing or have changed, instead of
            refusing: what stays keeps its side of the split, what is new is held out where its
            group is and else trained on, what is missing leaves.
        console: where progress and results are printed; the terminal by default.

    Returns:
        Held-out loss, the trivial prediction's, and where everything is.

    Raises:
        RunError: the folder or the spec does not fit, or the loss is not finite.
        DataError: the volumes cannot be used, or are not those that the run was begun with.
    """
    folder, main = RunFolder(out), getattr(rank_zero_only, "rank", 0) == 0
    console = (console or Console()) if main else Console(quiet=True)
    stop, notes = StopOnSignal(console), list[str]()

    def warn(text: str) -> None:
        text = shown(text)  # names may be no UTF-8
        notes.append(text)
        console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    before = resumable(folder, spec) if resume else None
    if before is not None:
        spec = before.spec
    elif accept_changed_data:
        raise RunError("accept_changed_data goes with resume: a new run has no earlier files")
    elif main:
        check_new(folder)
    # Files are found by the paths as given: the split of relative ones stays what it was.
    whole = absolute(spec, folder=Path.cwd())
    checkpoint = folder.newest_checkpoint() if resume else None
    done = {"step": 0, "samples": 0}
    if checkpoint is not None:
        content = read_checkpoint(checkpoint)
        check_decoder(content, spec=spec)
        done = content[KEY]
    module = PretrainModule(spec.build(), spec=whole)
    earlier = before.earlier(accept_changes=accept_changed_data) if before else None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DataWarning)
        data = _volumes(spec, folder=folder, main=main, earlier=earlier)
    for warning in said:
        warn(str(warning.message))
    for remark in before.remarks(data.resumed) if before else ():
        warn(remark)
    batches = Batches(data, views=module.model.views, masker=module.model.masker, seed=spec.seed)
    if main:
        for text in size_warnings((*data.train_files, *data.held_out_files), spec=spec.data):
            warn(text)
    if spec.init is not None and checkpoint is None:
        console.print(warm_start(module.model.backbone, path=spec.init), markup=False)
    file = MetricsFile(folder.metrics, last_step=done["step"]) if main else None
    volumes = (
        MetricsFile(folder.held_out, last_step=done["step"], text=("volume",)) if main else None
    )
    callbacks = make_callbacks(
        module,
        folder=folder,
        file=file,
        volumes=volumes,
        begun=Path(data.listing.folder),
        console=console,
        warn=warn,
    )
    # Loaders of data draw from the global generator: it is given back as it was.
    with quiet_lightning(), torch.random.fork_rng(devices=[]):
        trainer = make_trainer(
            spec.trainer, folder=folder, step=done["step"], callbacks=[stop, *callbacks]
        )
        if isinstance(trainer.strategy, FSDPStrategy) and (spec.probe or spec.optimizer.ema):
            raise RunError(
                "trainer.strategy: with fsdp no rank holds the whole encoder, which probe and "
                "optimizer.ema need: leave them out, or use ddp"
            )
        device = trainer.strategy.root_device
        if main:
            data.listing.write(folder.data)  # before the spec: other ranks read both, this first
            write_spec(folder, whole)
            write_json(folder.environment, environment(spec.components(), device=str(device)))
            _greet(console, module, data=data, folder=folder, step=done["step"])
        if done["step"] < spec.trainer.steps:
            with stop.listening():
                _fit(
                    trainer,
                    module,
                    data=LightningBatches(batches, start=done["samples"]),
                    checkpoint=checkpoint,
                )
    newest = folder.newest_checkpoint()
    assert newest is not None, "a run saves at its last step and when it is stopped"
    if not main:
        encoder = folder.root / WEIGHTS
        return RunResult(folder.root, step=module.step, finished=not stop.stopped, encoder=encoder)
    result = finish(
        newest,
        spec=spec,
        folder=folder,
        batches=batches,
        device=device,
        finished=not stop.stopped,
        warnings=tuple(notes),
    )
    print_result(result, console=console, said=len(notes))
    return result


def _volumes(
    spec: ExperimentSpec, *, folder: RunFolder, main: bool, earlier: Earlier | None
) -> RunVolumes:
    """The volumes, found and split, and those held out read: before the folder counts as a run, so
    that a mistake in the paths leaves none behind.
    """
    folder.root.mkdir(parents=True, exist_ok=True)
    data = RunVolumes(spec.data, record=folder.bad_files, earlier=earlier, silent=not main)
    if main:
        data.forget_bad_files()
    data.find()
    data.read_held_out()
    return data


def _fit(
    trainer: lightning.Trainer,
    module: PretrainModule,
    *,
    data: LightningBatches,
    checkpoint: Path | None,
) -> None:
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    except SystemExit as leave:
        # Lightning's answer to a second Ctrl-C, which in a notebook would end the kernel.
        raise KeyboardInterrupt from leave


def _greet(
    console: Console, module: PretrainModule, *, data: RunVolumes, folder: RunFolder, step: int
) -> None:
    """Say what is about to happen."""
    spec = module.spec
    encoder = sum(p.numel() for p in module.model.backbone.parameters())
    console.print(
        f"Pre-training {spec.backbone.name} ({encoder / 1e6:.3g} M parameters) on "
        f"{len(data.train_files)} volumes, {len(data.held_out_files)} held out, into "
        f"{shown(folder.root)}",
        markup=False,
        soft_wrap=True,
    )
    if not spec.restores:
        console.print(
            "No loss needs a restored volume: there is no decoder, and there will be no PSNR, SSIM "
            "or pictures of restored volumes"
        )
    if step:
        console.print(f"Going on from step {step} of {spec.trainer.steps}")
