"""The volumes of a run: found, split, and cut into crops."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from ssl3d.data.bad import BadFileRecord
from ssl3d.data.crops import CropDataset
from ssl3d.data.data_error import BadVolume
from ssl3d.data.found import Found, find_usable
from ssl3d.data.held_out_crops import HeldOutDataset
from ssl3d.data.listing import Listing
from ssl3d.data.read import target_grid
from ssl3d.data.resumed import Earlier, ResumedSplit, resumed_split
from ssl3d.data.sampling import check_weights, shares_of
from ssl3d.data.sizes import Grid, header_grid
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import split_by
from ssl3d.data.store import VolumeStore
from ssl3d.data.stored.store import PreparedStore
from ssl3d.data.stored.volume import StoredVolume
from ssl3d.data.volume import Volumes
from ssl3d.data.workers import workers_of
from ssl3d.geometry import Triple

logger = logging.getLogger(__name__)


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
        self._prepared: PreparedStore | None = None
        self.resumed: ResumedSplit | None = None

    @property
    def workers(self) -> int:
        """Reading processes of each rank; `auto` is one rank's on a CPU: a run says better."""
        return workers_of(self.spec.workers)

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
        if self.spec.store is None:
            found = find_usable(self.spec, folder=begun, record=self._record, silent=self._silent)
        else:
            self._prepared = PreparedStore(self.spec, folder=begun)
            found = self._prepared.found(record=self._record)
        check_weights(found.sources, spec=self.spec)
        self._policy = found.policy
        self._split(found, folder=begun)
        if self.spec.holdout > 0 and not self.held_out_files:
            missing = "what was held out is missing"
            one = "there is only one group of files to train on"
            logger.warning("Nothing is held out: %s.", missing if self.listing.held_out else one)
        self.train_groups = [one.group for one in self.listing.training if not one.missing]
        self.shares = shares_of(
            self.train_files, spec=self.spec, groups=self.train_groups, grid=self.grid
        )
        self._train_store, self._held_out_store = self._store(), self._store()

    def _store(self) -> Volumes:
        if self._prepared is not None:
            return self._prepared
        # Held-out volumes are read in the main process, training volumes in the workers.
        return VolumeStore(self.spec, share=max(1, self.workers) + 1)

    def _split(self, found: Found, *, folder: Path) -> None:
        sources, now = found.sources, found.listed
        if self._earlier is not None:
            self.resumed = resumed_split(sources, now=now, earlier=self._earlier)
            self.train_files = self.resumed.side(held_out=False)
            self.held_out_files = self.resumed.side(held_out=True)
            self.listing = self.resumed.listing
            return
        sides = split_by(found.groups, holdout=self.spec.holdout)
        training, held_out = (tuple(now[i] for i in side) for side in sides)
        # Split as they were given, named as a run that goes on names them.
        self.train_files, self.held_out_files = ([sources[i].whole for i in side] for side in sides)
        self.listing = Listing(str(folder), training, held_out)

    def grid(self, source: Source) -> Grid:
        """The voxels of a sample before they are resampled, or as its store has them.

        Raises:
            BadVolume: the header cannot be used.
        """
        if self._prepared is not None:
            return self._prepared.grid(source)
        return header_grid(source.files[0])

    def held_out_affine(self, source: Source) -> NDArray[np.float64]:
        """(4, 4) from (x, y, z, 1) indices of a held-out volume to mm in RAS.

        Raises:
            BadVolume: it cannot be read any more.
        """
        if self._prepared is not None:
            return self._prepared.affine(source)
        grid = target_grid(source, spacing=self.spec.spacing)
        return grid.moved(self._held_out_store.volume(source).corner).affine

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
                volume = self._held_out_store.volume(source)
                if isinstance(volume, StoredVolume):
                    volume.check()
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
            shares=self.shares,
        )

    def held_out_crops(self, *, extent: Triple) -> HeldOutDataset:
        """The fixed held-out crops; none where nothing is held out."""
        self.read_held_out()
        return HeldOutDataset(
            self.held_out_files, spec=self.spec, store=self._held_out_store, extent=extent
        )
