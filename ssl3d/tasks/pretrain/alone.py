"""A spec as a task, without a run around it."""

from __future__ import annotations

from collections.abc import Callable

from ssl3d.data import Batches, RunVolumes
from ssl3d.folder import RunFolder
from ssl3d.tasks.encoder import warm_start
from ssl3d.tasks.pretrain.init_remarks import init_remarks
from ssl3d.tasks.pretrain.spec import ExperimentSpec
from ssl3d.tasks.pretrain.task import PretrainTask


def pretrain_task(
    spec: ExperimentSpec, *, folder: RunFolder, say: Callable[[str], None] = print
) -> PretrainTask:
    """The task of a spec with a model built anew, to be trained by other means than `pretrain`.

    Args:
        spec: of what to train.
        folder: where held-out numbers of each volume, and files that cannot be used, are listed.
        say: takes a line for the user.

    Raises:
        DataError: the volumes cannot be used.
    """
    model = spec.build()
    if spec.init is not None:
        for remark in init_remarks(spec):
            say(remark)
        say(str(warm_start(model.backbone, path=spec.init)))
    folder.root.mkdir(parents=True, exist_ok=True)
    data = RunVolumes(spec.data, record=folder.bad_files)
    data.forget_bad_files()
    data.find()
    return PretrainTask(
        model,
        spec=spec,
        batches=Batches(data, views=model.views, masker=model.masker, seed=spec.seed),
        folder=folder,
        last_step=0,
        notes=(),
        begin=lambda _: None,
        warn=say,
    )
