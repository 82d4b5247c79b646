"""The labelled volumes of a run: found, judged and split."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ssl3d.data.bad import BadFilePolicy, BadFileRecord
from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.label_maps import warn_of_label_maps
from ssl3d.data.labelled.case import Case
from ssl3d.data.labelled.classes import check_targets, count_classes
from ssl3d.data.labelled.find import find_cases
from ssl3d.data.labelled.points import Points
from ssl3d.data.labelled.prepared import prepare_labelled
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.split import Sides, split_cases
from ssl3d.data.labelled.truth import LabelMap, Truth
from ssl3d.data.listing import ListedSample, Listing, listed
from ssl3d.data.manifest_table import Row
from ssl3d.data.notes import Notes
from ssl3d.data.read import check_source, target_grid
from ssl3d.data.spec import DataSpec
from ssl3d.data.store import VolumeStore
from ssl3d.data.workers import workers_of

SIDES = ("training", "choosing", "testing", "unused")


class LabelledVolumes:
    """Finds, judges and splits labelled volumes.

    Args:
        data: which.
        truth: what is to be learned.
        preparation: how they are prepared, see `preparation`.
        choosing: True keeps some of those that are learned from apart to choose a checkpoint by.
        subset_seed: which subjects are drawn, where `data.subjects` asks for some.
        only_tested: True tests on every case, and learns from none.
        folder: where the run was begun: relative paths are grouped as they are seen from there.
        record: JSON-lines file for cases that cannot be used; none: a temporary one.

    Attributes:
        sides: the cases of each side, after `find`.
        listing: their files: `training` holds those that choose as well, `held_out` is tested on.
    """

    sides: Sides
    listing: Listing

    def __init__(
        self,
        data: LabelledData,
        *,
        truth: Truth,
        preparation: DataSpec,
        choosing: bool = False,
        subset_seed: int = 0,
        only_tested: bool = False,
        folder: Path | None = None,
        record: Path | None = None,
    ) -> None:
        self.data = data
        self.truth = truth
        self.preparation = preparation
        self._choosing = choosing
        self._subset_seed = subset_seed
        self._only_tested = only_tested
        self._folder = Path.cwd() if folder is None else folder
        if record is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="ssl3d-")
            record = Path(self._scratch.name) / "bad_files.jsonl"
        self._record = BadFileRecord(record)
        self._found = False

    @property
    def workers(self) -> int:
        """Reading processes of each rank; `auto` is one rank's on a CPU: a run says better."""
        return workers_of(self.data.workers)

    def find(self) -> None:
        """Find the cases, check every header, split. Does nothing the second time.

        What headers lack and what is done about it is said (`DataWarning`).

        Raises:
            DataError: the set cannot be used; one message says why.
        """
        if self._found:
            return
        cases, finds = find_cases(self.data, truth=self.truth, folder=self._folder)
        self.policy = BadFilePolicy(
            self._record,
            total=len(cases),
            on_bad_file=self.data.on_bad_file,
            max_share=self.data.max_bad_share,
        )
        usable = {case.source: case for case in self._with_good_headers(cases, finds)}
        # Split before bad cases leave: who is tested on depends on no damaged file.
        if self._only_tested:
            sides = Sides((), (), testing=tuple(cases), unused=())
        else:
            sides = split_cases(
                cases, data=self.data, choosing=self._choosing, subset_seed=self._subset_seed
            )
        for name in SIDES:
            kept = [usable[c.source] for c in getattr(sides, name) if c.source in usable]
            sides = self._with(sides, name, kept)
        self.sides = sides
        if not self._only_tested:
            check_targets(self.sides, truth=self.truth)
        learned, tested = (*self.sides.training, *self.sides.choosing), self.sides.testing
        self.listing = Listing(str(self._folder), *(_listed(part) for part in (learned, tested)))
        # Those that are measured are read in the main process, the others in the workers.
        share = max(1, self.workers) + 1
        self.training_store, self.fixed_store = self._store(share), self._store(share)
        self._found = True

    def read_fixed(self) -> None:
        """Prepare the cases that are measured, and leave out those that cannot be used.

        Raises:
            DataError: a bad case that shall stop the run, or none of a side can be used.
        """
        for name in ("choosing", "testing"):
            kept = [case for case in getattr(self.sides, name) if self._readable(case)]
            self.sides = self._with(self.sides, name, kept)

    def _with(self, sides: Sides, name: str, cases: Sequence[Case]) -> Sides:
        """Sides of which one is `cases`, those that can be used."""
        before = getattr(sides, name)
        if before and not cases and name != "unused":
            raise DataError(
                f"data: none of the {len(before)} cases for {name} can be used:\n"
                f"{self.policy.summary()}"
            )
        return replace(sides, **{name: tuple(cases)})

    def _readable(self, case: Case) -> bool:
        try:
            self.fixed_store.volume(case.source)
        except BadVolume as error:
            self.policy.handle(error, source=case.source)
            return False
        return True

    def count_classes(self, *, rank: int = 0, world: int = 1) -> dict[str, int]:
        """Training cases that have each class, by the name of the class; reads every label map.

        Each of several ranks reads a part, and the sums are for `check_classes`.

        Raises:
            DataError: a label map holds other values.
        """
        assert isinstance(self.truth, LabelMap)
        return count_classes(
            self.sides, truth=self.truth, policy=self.policy, rank=rank, world=world
        )

    def bad_files(self) -> dict[str, str]:
        """{case: problem} of all cases that the run goes without, so far."""
        return self._record.read()

    def _with_good_headers(
        self, cases: Sequence[Case], finds: Sequence[Sequence[Row]]
    ) -> list[Case]:
        points = None if self.data.points is None else Points(self.data, truth=self.truth)
        spacing, usable, notes = self.preparation.spacing, [], Notes()
        for case, rows in zip(cases, finds, strict=True):
            try:
                remarks = check_source(case.source, spacing=spacing)
                grid = target_grid(case.source, spacing=spacing)
            except BadVolume as error:
                self.policy.handle(error, source=case.source)
                continue
            for file, remark in remarks:
                notes.add(file, remark)
            x, y, z = map(float, grid.steps)
            own = (
                ()
                if points is None
                else (points.point(row, source=case.image, grid=grid) for row in rows)
            )
            usable.append(replace(case, spacing=(z, y, x), points=tuple(own)))
        notes.say()
        warn_of_label_maps([case.image for case in usable])
        return usable

    def _store(self, share: int) -> VolumeStore:
        truth = self.truth
        if not isinstance(truth, LabelMap):
            return VolumeStore(self.preparation, share=share)
        make = partial(prepare_labelled, spec=self.preparation, truth=truth)
        kind = ["labels", truth.values, truth.ignore]
        return VolumeStore(self.preparation, share=share, make=make, kind=kind)


def _listed(cases: Sequence[Case]) -> tuple[ListedSample, ...]:
    return tuple(listed([case.source for case in cases], groups=[case.group for case in cases]))
