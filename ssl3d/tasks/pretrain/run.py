"""`pretrain`: train a spec on its volumes and leave a folder to judge it by."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

from lightning.fabric import Fabric
from rich.console import Console

import ssl3d
from ssl3d.data import Batches, DataWarning, RunVolumes
from ssl3d.data.data_error import shown
from ssl3d.data.resumed import Earlier
from ssl3d.data.sizes import size_warnings
from ssl3d.folder import RunFolder
from ssl3d.plugin.origin import plugins_of
from ssl3d.run.environment import add_start, environment
from ssl3d.run.fit import fit
from ssl3d.run.launch import launched
from ssl3d.run.lock import RunLock
from ssl3d.run.optimizer import optimizer_of, parameter_groups
from ssl3d.run.precision import HALVES, with_precision
from ssl3d.run.resume import check_new, write_spec
from ssl3d.run.run_checkpoint import read_run_checkpoint
from ssl3d.run.run_error import RunError
from ssl3d.run.signals import stoppable
from ssl3d.run.training import KEY
from ssl3d.tasks.encoder import WEIGHTS, warm_start
from ssl3d.tasks.loaded import write_loaded
from ssl3d.tasks.machine import decided, machine_remarks
from ssl3d.tasks.pretrain.batch_bytes import batch_bytes
from ssl3d.tasks.pretrain.greeting import greet
from ssl3d.tasks.pretrain.init_remarks import init_remarks
from ssl3d.tasks.pretrain.paths import absolute
from ssl3d.tasks.pretrain.result import RunResult, print_result
from ssl3d.tasks.pretrain.resumable import check_same_run, resumable
from ssl3d.tasks.pretrain.spec import ExperimentSpec
from ssl3d.tasks.pretrain.static_shapes import why_not_static
from ssl3d.tasks.pretrain.task import PretrainTask


@stoppable()
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
    began, folder, notes = time.monotonic(), RunFolder(out), list[str]()
    before = resumable(folder, spec) if resume else None
    if before is not None:
        spec = before.spec
    elif accept_changed_data:
        raise RunError("accept_changed_data goes with resume: a new run has no earlier files")
    else:
        check_new(folder)
    asked = spec.trainer.precision
    spec = spec.model_copy(update={"trainer": with_precision(spec.trainer)})
    fabric = launched(spec.trainer)  # nobody writes before all ranks have come here
    main = fabric.global_rank == 0
    console = (console or Console()) if main else Console(quiet=True)

    def warn(text: str) -> None:
        text = shown(text)  # names may be no UTF-8
        notes.append(text)
        console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    model = spec.build()
    optimizer_of(spec.optimizer, groups=parameter_groups(model))  # its library may be missing
    # Files are found by the paths as given: the split of relative ones stays what it was.
    whole = absolute(spec, folder=Path.cwd())
    machine = decided(
        spec.trainer,
        asked=asked,
        workers=spec.data.workers,
        batch=batch_bytes(spec),
        not_static=why_not_static(spec),
        fabric=fabric,
    )
    # The folder keeps `auto`: the run may go on where there are more or fewer CPUs.
    here = spec.data.model_copy(update={"workers": machine.workers})
    spec = spec.model_copy(update={"data": here})
    for remark in machine_remarks(spec.trainer, fabric=fabric) if main else ():
        warn(remark)
    with RunLock(folder, main=main, say=warn) as lock:
        checkpoint = folder.newest_checkpoint() if resume else None
        step = 0
        if checkpoint is not None:
            content = read_run_checkpoint(checkpoint)
            check_same_run(checkpoint, content[KEY], spec=whole)
            step = content[KEY]["step"]
        earlier = before.earlier(accept_changes=accept_changed_data) if before else None
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", DataWarning)
            data = _volumes(spec, folder=folder, fabric=fabric, earlier=earlier)
        for warning in said:
            warn(str(warning.message))
        for remark in before.remarks(data.resumed) if before else ():
            warn(remark)
        half = spec.trainer.precision in HALVES and fabric.device.type == "cuda"
        batches = Batches(data, views=model.views, masker=model.masker, seed=spec.seed, half=half)
        if main:
            files, extent = (*data.train_files, *data.held_out_files), model.views.extent
            for text in size_warnings(files, spec=spec.data, extent=extent, grid=data.grid):
                warn(text)
        loaded = []
        if spec.init is not None and checkpoint is None:
            for remark in init_remarks(spec):
                warn(remark)
            loaded.append(warm_start(model.backbone, path=spec.init))
            console.print(str(loaded[0]), markup=False)

        def begin(step: int) -> None:
            data.listing.write(folder.data)  # before the spec, which says that there is a run
            write_spec(folder, whole)
            if not step:
                write_loaded(folder.root, loaded)
            components, device = spec.components(), str(fabric.device)
            entry = environment(components, device=device, step=step, **machine.entry)
            for text in add_start(folder.environment, entry):
                warn(text)
            greet(console, model, spec=spec, data=data, folder=folder, step=step)
            console.print(machine.words, markup=False, highlight=False, soft_wrap=True)

        task = PretrainTask(
            model,
            spec=spec,
            batches=batches,
            folder=folder,
            last_step=step,
            notes=notes,
            begin=begin,
            warn=warn,
        )
        fitted = fit(
            task,
            trainer=spec.trainer,
            optimizer=spec.optimizer,
            seed=spec.seed,
            folder=folder.root,
            resume=resume,
            fabric=fabric,
            lock=lock,
            began=began,
            about={
                "spec": whole.to_json(),
                "ssl3d": ssl3d.__version__,
                "plugins": plugins_of(spec.components()),
            },
            parameters=whole.to_dict(),
            console=console,
            warn=warn,
        )
    if not main:
        encoder = folder.root / WEIGHTS
        return RunResult(
            folder.root,
            step=fitted.step,
            finished=fitted.finished,
            encoder=encoder,
            ended=fitted.ended,
        )
    print_result(task.result, console=console, said=len(notes))
    return task.result


def _volumes(
    spec: ExperimentSpec, *, folder: RunFolder, fabric: Fabric, earlier: Earlier | None
) -> RunVolumes:
    """The volumes, found and split, and those held out read: before the folder counts as a run, so
    that a mistake in the paths leaves none behind.
    """
    main = fabric.global_rank == 0
    data = RunVolumes(spec.data, record=folder.bad_files, earlier=earlier, silent=not main)
    if main:
        data.forget_bad_files()
    fabric.barrier()
    data.find()
    data.read_held_out()
    return data
