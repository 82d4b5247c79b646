"""Running a command with its output kept in a file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def run_logged(
    command: Sequence[str],
    *,
    log: Path,
    on_line: Callable[[str], object] = lambda _: None,
    **options: Any,
) -> int:
    """Run `command`, keep what it prints in `log`, give its exit status.

    Args:
        on_line: called with every line as it appears.
        options: further ones of `subprocess.Popen`, such as `cwd` and `env`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **options,
        ) as process,
    ):
        for line in process.stdout or ():
            file.write(line)
            on_line(line)
    return process.returncode


def build_environment(folder: Path) -> dict[str, str]:
    """Environment in which MinkowskiEngine's setup script may run.

    The script calls whatever `pip` comes first on PATH to remove an installed MinkowskiEngine,
    even when it is only asked for its name. A `pip` that does nothing, written to `folder`, keeps
    the installed one until its successor is ready. The interpreter's own folder comes next: ninja
    is there in a virtual environment that was not activated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stub = folder / "pip"
    stub.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    stub.chmod(0o755)
    path = [str(folder), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {**os.environ, "PATH": os.pathsep.join(path)}


def last_lines(log: Path) -> str:
    """The end of a log file, for an error message."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
