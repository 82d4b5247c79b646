"""Whether a run can go on by a spec, and what is known of it then."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ssl3d.data.listing import Listing
from ssl3d.data.resumed import Earlier, ResumedSplit
from ssl3d.folder import RunFolder
from ssl3d.plugin.spec_error import SpecError
from ssl3d.plugin.spec_file import from_json
from ssl3d.run.precision import kept_precision
from ssl3d.run.resume import check_changes, check_checkpoint, differences, spec_before, under
from ssl3d.run.run_error import RunError, older_run
from ssl3d.tasks.pretrain.paths import absolute
from ssl3d.tasks.pretrain.spec import ExperimentSpec

DATA_PATHS = (
    "data.volumes",
    "data.channels",
    "data.manifest",
    "data.valid",
    "data.group_file",
    "data.visit_file",
    "data.modality_file",
    "probe.images",
    "probe.labels",
    "probe.group_file",
)
"""What a resumed run may change where its files are listed: the files are compared themselves."""

FREE_ON_RESUME = (
    "sparse_backend",
    "views_at_once",
    "data.cache",
    "data.store",
    "data.workers",
    "optimizer.lr",
    "optimizer.min_lr",
    "optimizer.clip",
    "trainer.steps",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.nodes",
    "trainer.strategy",
    "trainer.log_every",
    "trainer.validate_every",
    "trainer.checkpoint_every",
    "trainer.keep_checkpoints",
    "trainer.pictures",
    "trainer.loggers",
    "trainer.max_hours",
    "trainer.best",
    "trainer.max_skipped_streak",
    "trainer.max_skipped_share",
    "trainer.compile",
    "trainer.cuda_graph",
    "trainer.checkpoint_activations",
    "trainer.deterministic",
    "trainer.tf32",
)
"""What a resumed run may change: nothing of what is learnt from which data by which rule.

Other steps move the end of the learning-rate schedule; other devices change the global batch.
"""

SHOWN = 3
"""Paths that are named before the rest is counted."""


@dataclass(frozen=True)
class Resumable:
    """A run that can go on.

    Attributes:
        spec: to go on by; where its files are listed, with whole paths: relative ones start from
            where the run was begun.
        listing: its files; None where the list is gone.
        moved: dotted path to (before, now) of paths in the spec that have changed.
    """

    spec: ExperimentSpec
    listing: Listing | None
    moved: dict[str, tuple[Any, Any]]

    def earlier(self, *, accept_changes: bool) -> Earlier | None:
        """What the data need to know; None where nothing is known."""
        if self.listing is None:
            return None
        pairs = [pair for pair in self.moved.values() if all(isinstance(x, str) for x in pair)]
        moves = dict.fromkeys(_starts(was, now) for was, now in pairs)
        return Earlier(self.listing, moves=tuple(moves), accept_changes=accept_changes)

    def remarks(self, split: ResumedSplit | None) -> Iterator[str]:
        """What the user should know of the data that the run goes on with."""
        if self.listing is None:
            yield (
                "The list of this run's files, data.json, is gone: they are split anew from what "
                "is there, and listed from now on"
            )
        for path, (was, now) in islice(self.moved.items(), SHOWN):
            yield f"{path}: was {was!r}, is {now!r}"
        if len(self.moved) > SHOWN:
            yield f"{len(self.moved) - SHOWN} more paths of the spec have changed"
        if split is not None and split.moved:
            yield f"{len(split.moved)} volumes moved, such as {split.moved[0]}"
        if split is not None and split.changes:
            yield f"Going on with other files than before:\n{split.changes}"


def resumable(folder: RunFolder, spec: ExperimentSpec) -> Resumable:
    """The run that is in a folder, to go on by `spec`.

    Raises:
        RunError: there is nothing to resume, or it was another experiment.
    """
    before = spec_of(folder)
    spec = spec.model_copy(update={"trainer": kept_precision(spec.trainer, of=before.trainer)})
    # After the spec: another rank may be writing both, the listing first.
    listing = _read_listing(folder)
    if listing is not None:
        spec = absolute(spec, folder=Path(listing.folder))
    changed = differences(before.to_dict(), spec.to_dict())
    orders = [", ".join(one.data.channel_names) for one in (before, spec)]
    if orders[0] != orders[1]:  # to a mapping that is no difference
        changed["data.channels order"] = (orders[0], orders[1])
    moved = {
        path: values
        for path, values in changed.items()
        if listing is not None and None not in values and under(path, DATA_PATHS)
    }
    rest = {path: values for path, values in changed.items() if path not in moved}
    also = ", and where data are" if listing else ""
    check_changes(folder, rest, free=FREE_ON_RESUME, also=also)
    return Resumable(spec, listing, moved)


def spec_of(folder: RunFolder) -> ExperimentSpec:
    """The spec of the run in a folder.

    Raises:
        RunError: there is none, it is of an older version, or it cannot be read any more.
    """
    return _parsed(spec_before(folder), source=folder.spec_json)


def check_same_run(path: Path, about: Mapping[str, Any], *, spec: ExperimentSpec) -> None:
    """Raise RunError where a checkpoint is not one of the run that it lies with.

    Args:
        path: of the checkpoint.
        about: what `pretrain` put into it.
        spec: to go on by.
    """
    if "spec" not in about:
        raise RunError(f"{path} is the checkpoint of another task than pre-training: move it away")
    was = _parsed(from_json(about["spec"]), source=path)
    changed = differences(was.to_dict(), spec.to_dict())
    check_checkpoint(path, changed, free=(*FREE_ON_RESUME, *DATA_PATHS))


def _parsed(values: dict[str, Any], *, source: Path) -> ExperimentSpec:
    if "views" not in values:
        raise older_run(source.parent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said when the run was begun
            return ExperimentSpec(**values)
    except SpecError as error:
        raise RunError(f"{source} cannot be read any more: {error}") from error


def _read_listing(folder: RunFolder) -> Listing | None:
    if not folder.data.exists():
        return None
    try:
        return Listing.read(folder.data)
    except (OSError, ValueError) as error:
        raise RunError(
            f"{folder.data}, the list of the run's files, cannot be read any more: {error}. Put "
            "it back. Without it the run goes on with a split made anew"
        ) from error


def _starts(was: str, now: str) -> tuple[str, str]:
    """Both paths without their common end: the folders of which one has become the other."""
    before, after = list(Path(was).parts), list(Path(now).parts)
    while before and after and before[-1] == after[-1]:
        before.pop()
        after.pop()
    return str(Path(*before)), str(Path(*after))
