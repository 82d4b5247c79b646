"""The cases of a fine-tuning run: found, judged, the same as before, and not seen before."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lightning.fabric import Fabric

from ssl3d.data import DataError, DataWarning
from ssl3d.data.labelled.classes import check_classes
from ssl3d.data.labelled.resumed import check_unchanged, table_digests
from ssl3d.data.labelled.seen import seen_in_pretraining
from ssl3d.data.labelled.volumes import LabelledVolumes
from ssl3d.data.listing import Listing
from ssl3d.folder import RunFolder
from ssl3d.run.ranks import of_all_ranks, rank, world_size
from ssl3d.tasks.finetune.resolved import Resolved
from ssl3d.tasks.finetune.spec import FinetuneSpec

TABLES = "tables.json"
"""In a run's folder: hashes of the tables that its targets came from."""


def volumes_of_run(
    made: Resolved,
    *,
    folder: RunFolder,
    fabric: Fabric,
    before: Listing | None,
    warn: Callable[[str], None],
) -> LabelledVolumes:
    """The cases, found, judged and split, and those that are measured read.

    Args:
        made: the run.
        folder: of the run.
        fabric: launched: all ranks call it.
        before: files that the run was begun with; None for a new one.
        warn: takes what should be said.

    Raises:
        DataError: they cannot be used, or are not those of before.
    """
    spec = made.spec
    volumes = LabelledVolumes(
        spec.data,
        truth=made.truth,
        preparation=made.preparation,
        choosing=spec.select == "best",
        subset_seed=spec.subset_seed,
        folder=None if before is None else Path(before.folder),
        record=folder.bad_files,
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DataWarning)
        volumes.find()
        if before is not None:
            _check_same(before, volumes=volumes, folder=folder, spec=spec)
        if spec.task.per == "voxel":
            _count_classes(volumes)
        volumes.read_fixed()
    for warning in said:
        warn(str(warning.message))
    fabric.barrier()
    return volumes


def _count_classes(volumes: LabelledVolumes) -> None:
    """Read every label map, each rank a part; what one finds wrong ends all.

    Raises:
        DataError: on all ranks.
    """
    counts, problem = Counter[str](), None
    try:
        counts.update(volumes.count_classes(rank=rank(), world=world_size()))
    except DataError as error:
        problem = str(error)
    parts = of_all_ranks((counts, problem))
    for _, found in parts:
        if found is not None:
            raise DataError(found)
    for other, _ in parts[1:]:
        parts[0][0].update(other)
    check_classes(parts[0][0], sides=volumes.sides)


def _check_same(
    before: Listing, *, volumes: LabelledVolumes, folder: RunFolder, spec: FinetuneSpec
) -> None:
    try:
        tables = json.loads((folder.root / TABLES).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder.root / TABLES}, the hashes of the run's tables, cannot be read any more: "
            f"{error}. Put it back"
        ) from error
    check_unchanged(
        before,
        volumes.listing,
        tables_before=tables,
        tables_now=table_digests(spec.data),
    )


def seen_before(made: Resolved, volumes: LabelledVolumes) -> list[str]:
    """What pre-training has read of the test cases, where its run is there to ask."""
    if made.spec.encoder is None:
        return []
    path = Path(made.spec.encoder).expanduser()
    listing = RunFolder(path if path.is_dir() else path.parent).data
    if not listing.is_file():
        return [
            f"Whether pre-training has read test cases is not known: {made.spec.encoder} holds no "
            f"{listing.name}"
        ]
    try:
        read = Listing.read(listing)
    except (OSError, ValueError) as error:
        return [f"Whether pre-training has read test cases is not known: {listing}: {error}"]
    return seen_in_pretraining(volumes.sides.testing, read).lines("test cases")
