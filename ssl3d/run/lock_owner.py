"""Who holds a run's folder, in words and as JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from ssl3d.files import is_running


@dataclass(frozen=True)
class Owner:
    """Who holds a folder.

    Attributes:
        host: name of the machine.
        boot: of the machine since it was started, containers on it included; "" where unknown.
        process: its number.
        started: when the process was, in the machine's ticks; "" where unknown.
        since: date and time of taking the folder.
        job: of SLURM; "" for none.
        restart: how often SLURM has put the job back.
    """

    host: str
    boot: str
    process: int
    started: str
    since: str
    job: str
    restart: int

    @classmethod
    def this_process(cls) -> Owner:
        """This process, now."""
        return cls(
            host=platform.node(),
            boot=_text(Path("/proc/sys/kernel/random/boot_id")),
            process=os.getpid(),
            started=_ticks(os.getpid()),
            since=datetime.now().astimezone().isoformat(timespec="seconds"),
            job=os.environ.get("SLURM_JOB_ID", ""),
            restart=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        )

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"

    @classmethod
    def read(cls, text: bytes) -> Owner | None:
        """Out of a lock file; None for nobody, and for one who was killed while writing it."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def to_json(self) -> str:
        """For a lock file."""
        return json.dumps(asdict(self))

    @property
    def here(self) -> bool:
        """True where it is or was of this machine, since this was started."""
        now = Owner.this_process()
        return (self.boot or self.host) == (now.boot or now.host)

    @property
    def runs_here(self) -> bool:
        """True where its number is that of a process of this machine, and of no later one."""
        return is_running(self.process) and _ticks(self.process) == self.started


def _ticks(process: int) -> str:
    """When a process was started, so that a number used again is told apart; "" where unknown."""
    fields = _text(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    return fields[19] if fields else ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
