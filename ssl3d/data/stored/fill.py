"""Filling a store: what is finished is kept, what has changed is prepared anew."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from torch.utils.data import DataLoader, Dataset

from ssl3d.data.bad import BadFileRecord
from ssl3d.data.data_error import BadVolume, DataError, shown
from ssl3d.data.found import Found, find_usable
from ssl3d.data.loader import sigchld_kept
from ssl3d.data.sizes import header_grid
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import visit_of
from ssl3d.data.stored.manifest import MANIFEST, VOLUMES, Entry, Manifest, StoredSample
from ssl3d.data.stored.one import Filling, finished
from ssl3d.data.stored.options import stored_options
from ssl3d.data.stored.progress import Rate
from ssl3d.files import remove_left_behind

Outcome = Entry | BadVolume | DataError | MemoryError


@dataclass(frozen=True)
class Filled:
    """What became of a store.

    Attributes:
        manifest: of the store.
        kept: volumes that were finished before.
        made: volumes that were prepared now.
        bad: {sample: problem} of samples that have no volume.
        gone: samples of before whose files were not found any more.
        changed: samples that were prepared before, from other files or otherwise.
    """

    manifest: Manifest
    kept: int
    made: int
    bad: dict[str, str]
    gone: tuple[str, ...]
    changed: tuple[str, ...]


def fill_store(
    spec: DataSpec,
    *,
    store: Path,
    workers: int = 1,
    exact: bool = False,
    console: Console | None = None,
) -> Filled:
    """Prepare the volumes of a spec and write them into a folder.

    It may be stopped at any moment, also by SIGKILL: finished volumes stay, and none looks finished
    that is not. The manifest is written at the end, so runs see the store of before until then.

    Args:
        spec: which files, and how they are prepared. Relative paths start from the current folder.
        store: the folder.
        workers: processes.
        exact: True rounds no voxel, and takes 32 bits where 16 do not hold the values.
        console: for progress.

    Raises:
        DataError: nothing found, too many bad files, a bad file where the spec says stop, or the
            folder cannot be written.
    """
    spec, begun = spec.model_copy(update={"store": None}), Path.cwd()
    with tempfile.TemporaryDirectory(prefix="ssl3d-") as scratch:
        record = BadFileRecord(Path(scratch) / "bad_files.jsonl")
        found = find_usable(spec, folder=begun, record=record, silent=False)
        unusable = record.read()
        try:
            (store / VOLUMES).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"data.store: cannot write to {shown(store)}: {error.strerror}"
            ) from error
        remove_left_behind(store / VOLUMES, "*.b2nd")
        remove_left_behind(store, MANIFEST)
        filling = Filling(store, spec=spec, exact=exact)
        sources = [source.whole for source in found.sources]
        known = finished(store)
        entries = {source: known.get(_name(filling, source)) for source in sources}
        new = [source for source in sources if entries[source] is None]
        problems: dict[Source, str] = {}
        progress = Rate(len(new), kept=len(sources) - len(new), console=console or Console())
        for source, outcome in progress.through(_outcomes(filling, new, workers=workers)):
            if isinstance(outcome, BadVolume):
                problems[source] = str(outcome)
                found.policy.handle(outcome, source=source)
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                entries[source] = outcome
        bad = record.read()
    samples = _samples(found, sources, entries, problems, spec=spec, folder=begun)
    options = stored_options(spec, folder=begun)
    manifest = Manifest(version("ssl3d"), options, samples, unusable)
    manifest.write(store)
    changed, gone = _compared(known, entries, store=store)
    made = len(new) - len(problems)
    return Filled(manifest, len(sources) - len(new), made, bad, gone, changed)


def _name(filling: Filling, source: Source) -> str:
    try:
        return filling.name(source)
    except BadVolume:  # gone since it was found: said when it is read
        return ""


class _Volumes(Dataset[Outcome]):
    """Fills the store, sample by sample. Errors are values: a loader would wrap them."""

    def __init__(self, filling: Filling, sources: Sequence[Source]) -> None:
        self._filling = filling
        self._sources = sources

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, place: int) -> Outcome:
        try:
            return self._filling.fill(self._sources[place])
        except (DataError, MemoryError) as error:
            return error


def _outlive_interrupt(worker: int) -> None:  # noqa: ARG001  (torch's signature)
    """Ctrl-C reaches every process at once: the one that all others belong to ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _outcomes(
    filling: Filling, sources: Sequence[Source], *, workers: int
) -> Iterator[tuple[Source, Outcome]]:
    # torch's workers end by themselves when this process is gone.
    volumes = _Volumes(filling, sources)
    outcomes: Any = (volumes[i] for i in range(len(sources)))
    if workers > 1 and len(sources) > 1:
        loader = DataLoader(
            volumes,
            batch_size=None,
            num_workers=min(workers, len(sources)),
            prefetch_factor=1,
            worker_init_fn=_outlive_interrupt,
        )
        with sigchld_kept():
            outcomes = iter(loader)
    try:
        yield from zip(sources, outcomes, strict=True)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            f"data: a process that prepared volumes has ended, most often because memory ran out "
            f"({error}). Take fewer --workers (now {workers}), and go on: what is finished is kept"
        ) from error


def _samples(
    found: Found,
    sources: Sequence[Source],
    entries: dict[Source, Entry | None],
    problems: dict[Source, str],
    *,
    spec: DataSpec,
    folder: Path,
) -> list[StoredSample]:
    visits: Sequence[str | None] = [None] * len(sources)
    if spec.pairs:
        first = [replace(source, files=source.files[:1]) for source in found.sources]
        visits = visit_of(first, spec=spec, folder=folder)
    columns = zip(sources, found.listed, found.groups, visits, strict=True)
    return [
        StoredSample(
            source,
            listed,
            group,
            visit,
            header_grid(source.files[0]),
            problems.get(source),
            entries[source],
        )
        for source, listed, group, visit in columns
    ]


def _compared(
    before: dict[str, Entry], now: dict[Source, Entry | None], *, store: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(samples that have changed, samples that are gone). Volumes of the former are removed; those
    of the latter stay, for their files may come back, or have been removed to make room.
    """
    used = {entry["file"] for entry in now.values() if entry is not None}
    here = {tuple(map(str, source.files)): source.name for source in now}
    changed, gone = [], []
    for file, entry in before.items():
        files = tuple(entry["files"])
        if files not in here:
            gone.append(shown(files[0]))
        elif file not in used:
            changed.append(here[files])
            (store / VOLUMES / file).unlink()
    return tuple(changed), tuple(gone)
