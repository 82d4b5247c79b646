"""The samples of a run: found, and judged by their headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from ssl3d.data.bad import BadFilePolicy, BadFileRecord
from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.files import find_sources
from ssl3d.data.label_maps import warn_of_label_maps
from ssl3d.data.listing import ListedSample, listed
from ssl3d.data.modality import with_modalities
from ssl3d.data.normalised_by import say_normalised_by
from ssl3d.data.notes import Notes
from ssl3d.data.read import check_source
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import group_of, patients
from ssl3d.data.visits import paired

# Headers of fewer files are read before a progress bar could be noticed.
_SILENT = 200


@dataclass(frozen=True)
class Found:
    """The samples of a run, in the order that they are split in.

    Attributes:
        sources: whose headers are good.
        groups: of each.
        listed: each as a run's folder lists it.
        policy: knows those that cannot be used.
    """

    sources: Sequence[Source]
    groups: Sequence[str]
    listed: Sequence[ListedSample]
    policy: BadFilePolicy


def find_usable(spec: DataSpec, *, folder: Path, record: BadFileRecord, silent: bool) -> Found:
    """Find the files and check every header.

    What headers lack and what is done about it is said, and so are label maps (`DataWarning`).

    Args:
        spec: what to read.
        folder: where the run was begun.
        record: for samples that cannot be used.
        silent: shows no progress.

    Raises:
        DataError: nothing found, too many bad files, or a bad file that shall stop the run.
    """
    sources = find_sources(spec, folder=folder)
    sources = with_modalities(sources, spec=spec, folder=folder)
    alone: list[tuple[Source, BadVolume]] = []
    if spec.pairs:
        sources, alone = paired(sources, spec=spec, folder=folder)
    policy = policy_of(spec, record=record, total=len(sources) + len(alone))
    for source, error in alone:
        policy.handle(error, source=source)
    usable = _with_good_headers(sources, spec=spec, policy=policy, silent=silent)
    say_normalised_by(usable, spec=spec)
    groups = group_of(usable, spec=spec, folder=folder)
    given = any(source.group for source in usable)
    known = spec.grouped or given or any(patients(usable))
    now = listed(usable, groups=groups if known else [None] * len(usable))
    return Found(usable, groups, now, policy)


def policy_of(spec: DataSpec, *, record: BadFileRecord, total: int) -> BadFilePolicy:
    """What a spec says of files that cannot be used."""
    return BadFilePolicy(
        record, total=total, on_bad_file=spec.on_bad_file, max_share=spec.max_bad_share
    )


def _with_good_headers(
    sources: list[Source], *, spec: DataSpec, policy: BadFilePolicy, silent: bool
) -> list[Source]:
    silent = silent or len(sources) < _SILENT
    usable, notes = [], Notes()
    for source in track(sources, description="Reading headers", transient=True, disable=silent):
        try:
            for file, remark in check_source(source, spacing=spec.spacing):
                notes.add(file, remark)
            usable.append(source)
        except BadVolume as error:
            policy.handle(error, source=source)
    if not usable:
        raise DataError(f"data: none of {len(sources)} samples can be used:\n{policy.summary()}")
    notes.say()
    if spec.volumes is not None:
        warn_of_label_maps(usable)
    return usable
