"""Train any task, and leave a folder from which the run can go on as the run it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from rich.console import Console

from ssl3d.folder import RunFolder
from ssl3d.run.bar import Bar
from ssl3d.run.deterministic import deterministic
from ssl3d.run.faults import Faults
from ssl3d.run.graphed import graphed
from ssl3d.run.launch import launched
from ssl3d.run.lock import RunLock
from ssl3d.run.loggers import start_loggers
from ssl3d.run.loop import Loop
from ssl3d.run.lost import errors_of_lost_ranks
from ssl3d.run.metrics_file import MetricsFile
from ssl3d.run.optimizer_spec import OptimizerSpec, rule_of
from ssl3d.run.precision import tf32, with_precision
from ssl3d.run.ranks import of_all_ranks
from ssl3d.run.resume import check_rule
from ssl3d.run.rows import Rows
from ssl3d.run.run_checkpoint import read_run_checkpoint
from ssl3d.run.run_error import RunError
from ssl3d.run.setting import Setting
from ssl3d.run.signals import Signals
from ssl3d.run.task import Fitted, Task
from ssl3d.run.trainer_spec import TrainerSpec
from ssl3d.run.training import KEY, Training
from ssl3d.run.watch import Watch

PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}
"""How lines are printed that hold names of files."""


def fit(
    task: Task,
    *,
    trainer: TrainerSpec,
    optimizer: OptimizerSpec,
    seed: int,
    folder: Path,
    resume: bool = False,
    fabric: Fabric | None = None,
    lock: RunLock | None = None,
    began: float | None = None,
    about: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    console: Console | None = None,
    warn: Callable[[str], None] | None = None,
) -> Fitted:
    """Train a task and keep everything about it in a folder.

    Args:
        task: what to train.
        trainer: how long, on what and in which precision.
        optimizer: by which rule.
        seed: of what layers draw at random.
        folder: of the run: `metrics.csv`, checkpoints and what the task writes.
        resume: go on from the newest checkpoint, by the same seed and optimizer, `lr`, `min_lr` and
            `clip` aside.
        fabric: of `launched`, where the task was built by its ranks; None: it is launched here.
        lock: of the folder, where the caller holds it already; None: it is taken here.
        began: when this start of the run began, by `time.monotonic`, for `trainer.max_hours`;
            None: now.
        about: plain values for checkpoints, such as the spec.
        parameters: the spec in plain values, for loggers.
        console: for progress; the terminal by default.
        warn: takes a line for the user; printed by default.

    Raises:
        RunError: the folder, the machine or a checkpoint does not fit, or the gradient was not
            finite too often.
    """
    began = time.monotonic() if began is None else began
    trainer = with_precision(trainer)
    fabric = launched(trainer) if fabric is None else fabric
    main, run = fabric.global_rank == 0, RunFolder(folder)
    console = (console or Console()) if main else Console(quiet=True)
    warn = partial(console.print, style="yellow", **PLAIN) if warn is None else warn
    checkpoint = run.newest_checkpoint()
    if run.holds_a_run and not resume:
        raise RunError(f"{run.root} holds another run: resume it, or give another folder")
    with ExitStack() as held:
        held.enter_context(errors_of_lost_ranks())
        graph = graphed(trainer, fabric=fabric, not_static=task.not_static())
        held.enter_context(deterministic(trainer.deterministic))
        held.enter_context(tf32(bool(trainer.tf32), device=fabric.device))
        held.enter_context(torch.random.fork_rng(devices=[]))  # loaders draw from the global one
        if lock is None:
            held.enter_context(RunLock(run, main=main, say=warn))
        stop = held.enter_context(Signals(partial(console.print, **PLAIN)).listening())
        rule = rule_of(optimizer, seed=seed)
        about = {**(about or {}), "rule": rule}
        setting = Setting(fabric, trainer, run, seed=seed, about=about, warn=warn)
        training = Training(
            task, fabric=fabric, trainer=trainer, optimizer=optimizer, graph=graph, say=warn
        )
        faults = Faults(setting)
        if checkpoint is not None:
            content = read_run_checkpoint(checkpoint)
            check_rule(checkpoint, content[KEY].get("rule", rule), rule=rule)
            training.load_state_dict(content)
            faults.load_state_dict(content["faults"])
            if training.step > trainer.steps:
                raise RunError(
                    f"trainer.steps: given {trainer.steps}, and {run.root} has taken "
                    f"{training.step} steps: give {training.step} to end it there, or more"
                )
        file = MetricsFile(run.metrics, last_step=training.step) if main else None
        loggers = start_loggers(
            trainer.loggers, folder=run, last_step=training.step, main=main, say=warn
        )
        rows = Rows(file, loggers=loggers)
        bar = Bar(console, steps=trainer.steps, done=training.step)
        watch = Watch(task, training, faults=faults, rows=rows, bar=bar, setting=setting)
        if checkpoint is not None and "watch" in content:  # older ones do not say it
            watch.load_state_dict(content["watch"])  # before anything is written
        loop = Loop(
            task, training, faults=faults, watch=watch, stop=stop, setting=setting, began=began
        )
        if main:
            task.begin(step=training.step)
        with loggers, bar.shown():
            loggers.parameters(parameters or {})
            ended = loop.run()
        if loop.feed is not None:
            console.print(loop.feed.in_words(), **PLAIN)
        if training.graph is not None and (told := training.graph.in_words()) is not None:
            console.print(told, **PLAIN)
        fitted = Fitted(
            training.step,
            samples=training.samples,
            seconds=training.clock.seconds,
            ended=ended,
            exit_code=loop.exit_code if main else 0,
            checkpoint=run.checkpoint(training.step),
        )
        weights = {k: v.detach().cpu() for k, v in training.result.state_dict().items()}
        task.finish(run.root, weights=weights, fitted=fitted)
        asked = max(of_all_ranks(stop.exit_code))
        fabric.barrier()  # launchers end all ranks where one ends first with another code than 0
    return replace(fitted, asked=asked)
