"""The end of a fine-tuning run: the model, its numbers on the test cases, and a summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ssl3d.data.labelled.batches import LabelledBatches
from ssl3d.files import write_json
from ssl3d.folder import RunFolder
from ssl3d.measure.bootstrap import intervals
from ssl3d.measure.tables import cases_table, write_results
from ssl3d.run.evaluating import evaluating
from ssl3d.run.kept import best_checkpoint, scores_of
from ssl3d.run.loggers import log_pictures
from ssl3d.run.metrics_file import read_metrics
from ssl3d.run.ranks import of_all_ranks, rank, world_size
from ssl3d.run.run_checkpoint import read_run_checkpoint
from ssl3d.run.task import Fitted
from ssl3d.run.training import KEY
from ssl3d.tasks.finetune.measure import measure
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.model_file import WEIGHTS, write_model
from ssl3d.tasks.finetune.pictures import draw_pictures
from ssl3d.tasks.finetune.resolved import Resolved
from ssl3d.tasks.finetune.result import FinetuneResult
from ssl3d.tasks.loaded import loaded_counts
from ssl3d.weights import read_weights

TEST = "test"
"""Folder in a run's, for what was measured on the test cases."""

NO_BEST = (
    "The cases that choose had no {} at any step, so the last weights are the result: choose by "
    "more cases (data.choose), or take the last (select: last)"
)


def finish(
    model: FinetuneModel,
    *,
    weights: Mapping[str, Tensor],
    resolved: Resolved,
    batches: LabelledBatches,
    folder: RunFolder,
    fitted: Fitted,
    warnings: tuple[str, ...] = (),
) -> FinetuneResult:
    """Write the model and, where the run is finished, what it is worth on the test cases.

    All ranks call it, and share the test cases: what is tested is the file that rank 0 has written,
    so numbers are the same whatever the ranks. Rank 0 alone writes.

    Args:
        model: as the last step left it, on its device.
        weights: of the last step, or their average where the spec has `optimizer.ema`.
        resolved: what the run is made of.
        batches: of the run.
        folder: of the run.
        fitted: how training ended.
        warnings: what was said on the way.
    """
    spec, step, task = resolved.spec, fitted.step, model.task
    main = rank() == 0
    if main:
        if spec.select == "best" and fitted.finished:
            best = _best(folder, resolved=resolved)
            if best is None:
                warnings = (*warnings, NO_BEST.format(spec.task.primary))
            else:
                weights, step = best
        write_model(
            folder.root, resolved=resolved, weights=weights, step=step, finished=fitted.finished
        )
    step = of_all_ranks(step)[0]  # by then the file is there
    file = folder.root / WEIGHTS
    result: dict[str, Any] = {
        "out": folder.root,
        "step": fitted.step,
        "finished": fitted.finished,
        "ended": fitted.ended,
        "exit_code": fitted.exit_code,
        "model": file,
        "step_of_model": step,
        "primary": spec.task.primary,
        "warnings": warnings,
        "bad_files": batches.volumes.bad_files(),
        "seconds": fitted.seconds,
    }
    if not fitted.finished:
        return FinetuneResult(**result)
    model.load_state_dict(read_weights(file))
    with evaluating(model):
        found = measure(
            model,
            batches=batches,
            side="testing",
            patch=resolved.patch,
            windows=spec.windows,
            rank=rank(),
            world=world_size(),
        )
        if not main:
            return FinetuneResult(**result, numbers=found.summary)
        pictures = draw_pictures(
            model, found=found, resolved=resolved, batches=batches, folder=folder, step=step
        )
    log_pictures(pictures, loggers=spec.trainer.loggers, folder=folder, step=fitted.step)
    ends = intervals(list(found.rows.values()), summary=task.summary, seed=0, groups=found.groups)
    facts = {
        "primary": spec.task.primary,
        "encoder": spec.encoder,
        "loaded": loaded_counts(folder.root),
        "recipe": spec.how.name,
        "select": spec.select,
        "steps": fitted.step,
        "step_of_model": step,
        "fold": spec.data.fold,
        "subjects": spec.data.subjects,
        "seed": spec.seed,
        "subset_seed": spec.subset_seed,
    }
    write_results(
        folder.root / TEST,
        rows=found.rows,
        summary=found.summary,
        intervals=ends,
        badness=task.badness,
        facts=facts,
    )
    worst = cases_table(found.rows, badness=task.badness)
    write_json(folder.summary, {**facts, "numbers": _plain(found.summary)})
    return FinetuneResult(
        **result,
        numbers=found.summary,
        intervals=ends,
        worst=tuple(str(line["case"]) for line in worst),
        pictures=tuple(pictures),
    )


def _best(folder: RunFolder, *, resolved: Resolved) -> tuple[Mapping[str, Tensor], int] | None:
    """Weights that were best on the cases that choose, and their step; None where none were."""
    best = resolved.trainer.best
    assert best is not None, "the best weights are chosen by a number"
    scores = scores_of(read_metrics(folder.metrics), best.number)
    path = best_checkpoint(folder, scores=scores, highest=best.larger)
    if path is None:
        return None
    content = read_run_checkpoint(path)
    average = content["average"]
    weights = content["state_dict"] if average is None else average["weights"]
    return weights, int(content[KEY]["step"])


def _plain(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if value != value else value for name, value in numbers.items()}
