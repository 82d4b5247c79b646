"""Whether a fine-tuning run can go on by a spec."""

from __future__ import annotations

from pathlib import Path

from ssl3d.data.listing import Listing
from ssl3d.folder import RunFolder
from ssl3d.plugin.spec_error import SpecError
from ssl3d.run.precision import kept_precision
from ssl3d.run.resume import check_changes, differences, spec_before
from ssl3d.run.run_error import RunError
from ssl3d.tasks.finetune.paths import absolute
from ssl3d.tasks.finetune.spec import FinetuneSpec

FREE_ON_RESUME = (
    "data.cache",
    "data.workers",
    "trainer.accelerator",
    "trainer.log_every",
    "trainer.checkpoint_every",
    "trainer.keep_checkpoints",
    "trainer.loggers",
    "trainer.compile",
    "trainer.cuda_graph",
    "trainer.checkpoint_activations",
    "trainer.deterministic",
    "trainer.tf32",
    "trainer.max_hours",
    "trainer.max_skipped_streak",
    "trainer.max_skipped_share",
    "optimizer.clip",
    "windows",
)
"""What a resumed run may change: nothing of what is learned from which cases by which recipe.

Steps and devices are not among them: recipes are functions of the step and of all steps.
"""


def spec_of(folder: RunFolder) -> FinetuneSpec:
    """The spec of the run in a folder.

    Raises:
        RunError: there is none, it is no fine-tuning run, or it cannot be read any more.
    """
    values = spec_before(folder)
    if "task" not in values:
        raise RunError(f"{folder.root} is no fine-tuning run: its spec names no task")
    try:
        return FinetuneSpec(**values)
    except SpecError as error:
        raise RunError(f"{folder.spec_json} cannot be read any more: {error}") from error


def resumable(folder: RunFolder, spec: FinetuneSpec) -> tuple[FinetuneSpec, Listing]:
    """The spec to go on by, with whole paths, and the files that the run was begun with.

    Relative paths start from where the run was begun.

    Raises:
        RunError: there is nothing to resume, it was another experiment, or the list of its files
            cannot be read.
    """
    before = spec_of(folder)
    trainer, windows = kept_precision(spec.trainer, of=before.trainer), spec.windows
    if windows.precision == "auto":
        windows = windows.model_copy(update={"precision": before.windows.precision})
    spec = spec.model_copy(update={"trainer": trainer, "windows": windows})
    # After the spec: another rank may be writing both, the listing first.
    try:
        listing = Listing.read(folder.data)
    except (OSError, ValueError) as error:
        raise RunError(
            f"{folder.data}, the list of the run's files, cannot be read any more: {error}. Put "
            "it back"
        ) from error
    spec = absolute(spec, folder=Path(listing.folder))
    changed = differences(before.to_dict(), spec.to_dict())
    check_changes(folder, changed, free=FREE_ON_RESUME, also="")
    return spec, listing
