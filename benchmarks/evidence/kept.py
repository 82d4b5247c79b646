"""What is kept between sittings: locks, and one small JSON an arm."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Busy(Exception):
    """Another process is at it."""


class Stopped(Exception):
    """A run was asked to stop, and wrote its checkpoint."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code or 1


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however that ends.

    Raises:
        Busy: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(path.stem) from error
        yield


def read(path: Path) -> dict[str, Any] | None:
    """A result, or None where there is none yet."""
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write(path: Path, result: dict[str, Any]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    scratch.replace(path)


def machine() -> dict[str, Any]:
    """Where, with which versions."""
    import torch

    from ssl3d import __version__

    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        **gpu,
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "ssl3d": __version__,
        "commit": commit(),
    }


def _cpu() -> str:
    """Its name, with family and model: one name can stand for processors that differ a lot."""
    pairs = (line.split(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    about = {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}
    if "model name" not in about:
        return platform.processor()
    number = f"family {about.get('cpu family')}, model {about.get('model')}"
    return f"{about['model name']} ({number})"


@functools.cache
def commit() -> str:
    """Of the code as it was when this was first called, which is before anything runs.

    It ends with "+" where files of the package or of this benchmark differ from it. A copy without
    its repository is told by `EVIDENCE_COMMIT`.
    """
    if (told := os.environ.get("EVIDENCE_COMMIT")) is not None:
        return told
    git = ["git", "-C", str(Path(__file__).parent)]
    changed = ["status", "--short", ":/ssl3d", ":/ssl3d_plugins", ":/benchmarks/evidence"]
    said = [
        subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout.strip()
        for words in (["rev-parse", "HEAD"], changed)
    ]
    return said[0] + "+" * bool(said[1])
