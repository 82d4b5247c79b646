"""The volumes of a run: found, split, and cut into crops."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from ssl3d.data.bad import BadFilePolicy, BadFileRecord
from ssl3d.data.crops import CropDataset, HeldOutDataset
from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.files import Source, find_sources
from ssl3d.data.label_maps import warn_of_label_maps
from ssl3d.data.listing import Listing, listed
from ssl3d.data.notes import Notes
from ssl3d.data.read import check_source
from ssl3d.data.resumed import Earlier, ResumedSplit, resumed_split
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import group_of, patients, split_sources
from ssl3d.data.store import VolumeStore
from ssl3d.data.visits import paired
from ssl3d.geometry import Triple

logger = logging.getLogger(__name__)

# Headers of fewer files are read before a progress bar could be noticed.
_SILENT = 200


class RunVolumes:
    """Finds, splits and prepares the volumes of a run.

    Args:
        spec: what to read; the split depends on nothing else.
        record: JSON-lines file for samples that cannot be used; none: a temporary one. Several
            ranks need a file that they share.
        earlier: the files of the run that goes on; none: the split is made anew.
        silent: shows no progress; for all ranks but one.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        record: Path | None = None,
        earlier: Earlier | None = None,
        silent: bool = False,
    ) -> None:
        self.spec = spec
        self.train_files: list[Source] = []
        self.held_out_files: list[Source] = []
        self._held_out_read = False
        if record is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="ssl3d-")
            record = Path(self._scratch.name) / "bad_files.jsonl"
        self._record = BadFileRecord(record)
        self._earlier = earlier
        self._silent = silent
        self.resumed: ResumedSplit | None = None

    def forget_bad_files(self) -> None:
        """Forget those of an earlier run: once, before any rank looks at a file."""
        self._record.clear()

    def find(self) -> None:
        """Find the files, check every header, split. Does nothing the second time.

        What headers lack and what is done about it is said, and so are label maps (`DataWarning`).

        Raises:
            DataError: nothing found, too many bad files, a bad file that shall stop the run, or
                other files than those of the run that goes on.
        """
        if self.train_files:
            return
        begun = Path.cwd() if self._earlier is None else Path(self._earlier.listing.folder)
        sources = find_sources(self.spec, folder=begun)
        alone: list[tuple[Source, BadVolume]] = []
        if self.spec.pairs:
            sources, alone = paired(sources, spec=self.spec, folder=begun)
        self._policy = BadFilePolicy(
            self._record,
            total=len(sources) + len(alone),
            on_bad_file=self.spec.on_bad_file,
            max_share=self.spec.max_bad_share,
        )
        for source, error in alone:
            self._policy.handle(error, source=source)
        usable = self._with_good_headers(sources)
        self._split(usable, folder=begun)
        if self.spec.holdout > 0 and not self.held_out_files:
            missing = "what was held out is missing"
            one = "there is only one group of files to train on"
            logger.warning("Nothing is held out: %s.", missing if self.listing.held_out else one)
        # Held-out volumes are read in the main process, training volumes in the workers.
        share = max(1, self.spec.workers) + 1
        self._train_store = VolumeStore(self.spec, share=share)
        self._held_out_store = VolumeStore(self.spec, share=share)

    def _split(self, sources: list[Source], *, folder: Path) -> None:
        groups: Sequence[str | None] = [None] * len(sources)
        if self.spec.grouped or any(patients(sources)):
            groups = group_of(sources, spec=self.spec, folder=folder)
        now = listed(sources, groups=groups)
        if self._earlier is not None:
            self.resumed = resumed_split(sources, now=now, earlier=self._earlier)
            self.train_files = self.resumed.side(held_out=False)
            self.held_out_files = self.resumed.side(held_out=True)
            self.listing = self.resumed.listing
            return
        sides = split_sources(sources, spec=self.spec, folder=folder)
        by_source = dict(zip(sources, now, strict=True))
        training, held_out = (tuple(by_source[source] for source in side) for side in sides)
        # Split as they were given, named as a run that goes on names them.
        self.train_files, self.held_out_files = ([one.whole for one in side] for side in sides)
        self.listing = Listing(str(folder), training, held_out)

    def _with_good_headers(self, sources: list[Source]) -> list[Source]:
        silent = len(sources) < _SILENT or self._silent
        usable, notes = [], Notes()
        for source in track(sources, description="Reading headers", transient=True, disable=silent):
            try:
                for file, remark in check_source(source, spacing=self.spec.spacing):
                    notes.add(file, remark)
                usable.append(source)
            except BadVolume as error:
                self._policy.handle(error, source=source)
        if not usable:
            raise DataError(
                f"data: none of {len(sources)} samples can be used:\n{self._policy.summary()}"
            )
        notes.say()
        if self.spec.volumes is not None:
            warn_of_label_maps(usable)
        return usable

    def read_held_out(self) -> None:
        """Prepare the held-out volumes, and leave out those that cannot be used.

        Their headers are good, so this is where the others show: before a run has begun, and not
        at its first measurement. Does nothing the second time.

        Raises:
            DataError: too many bad files, or a bad file that shall stop the run.
        """
        if self._held_out_read:
            return
        self._held_out_read = True
        usable, silent = [], len(self.held_out_files) < 2 or self._silent
        for source in track(
            self.held_out_files,
            description="Reading held-out volumes",
            transient=True,
            disable=silent,
        ):
            try:
                self._held_out_store.volume(source)
                usable.append(source)
            except BadVolume as error:
                self._policy.handle(error, source=source)
        if self.held_out_files and not usable:
            logger.warning("Nothing is held out: none of the held-out volumes can be used.")
        self.held_out_files = usable

    def bad_files(self) -> dict[str, str]:
        """{sample: problem} of all samples that the run goes without, so far."""
        return self._record.read()

    def training_crops(self, *, seed: int, extent: Triple) -> CropDataset:
        """Endless crops of what is trained on; `seed` is of crops and their order."""
        return CropDataset(
            self.train_files,
            spec=self.spec,
            seed=seed,
            store=self._train_store,
            policy=self._policy,
            extent=extent,
        )

    def held_out_crops(self, *, extent: Triple) -> HeldOutDataset:
        """The fixed held-out crops; none where nothing is held out."""
        self.read_held_out()
        return HeldOutDataset(
            self.held_out_files, spec=self.spec, store=self._held_out_store, extent=extent
        )
