"""Whether a store is what was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from ssl3d.data.data_error import shown
from ssl3d.data.stored.manifest import VOLUMES, Manifest
from ssl3d.data.volume_file import CHECKSUM
from ssl3d.files import sha256_of_start


@dataclass(frozen=True)
class Verified:
    """What is wrong with a store.

    Attributes:
        volumes: that there should be.
        damaged: a line for each file that is not what was written.
        missing: a line for each file that is not there.
        extra: files that belong to no sample.
    """

    volumes: int
    damaged: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """True where nothing is damaged or missing."""
        return not self.damaged and not self.missing


def verify(store: Path, *, console: Console | None = None) -> Verified:
    """Read every volume of a store and compare it with the manifest.

    Args:
        store: its folder.
        console: for progress, where it is a terminal.

    Raises:
        DataError: there is no store, or its manifest is damaged.
    """
    damaged, missing, known = [], [], set[str]()
    samples = [sample for sample in Manifest.read(store).samples if sample.volume is not None]
    terminal = console is not None and console.is_terminal
    watched = track(samples, "Verifying", console=console) if terminal else samples
    for sample in watched:
        assert sample.volume is not None
        path = store / VOLUMES / sample.volume["file"]
        known.add(path.name)
        line = f"{shown(path)}, of {sample.source.name}"
        if not path.exists():
            missing.append(line)
        elif not _as_written(path, sample.volume["sha256"]):
            damaged.append(line)
    folder = store / VOLUMES
    extra = (shown(path) for path in sorted(folder.iterdir()) if path.name not in known)
    return Verified(len(samples), tuple(damaged), tuple(missing), tuple(extra))


def _as_written(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            digest = sha256_of_start(file, path.stat().st_size - CHECKSUM)
            return digest.hex() == sha256 and file.read() == digest
    except OSError:
        return False
