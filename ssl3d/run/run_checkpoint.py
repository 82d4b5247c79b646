"""The checkpoint that a run goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl3d.run.checkpoint_file import read_checkpoint
from ssl3d.run.run_error import RunError, older_run
from ssl3d.run.training import FORMAT, KEY


def read_run_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of a run of this version.

    Raises:
        RunError: it is damaged, of no run, or of another version.
    """
    content = read_checkpoint(path)
    if KEY not in content:
        raise RunError(f"{path} is no checkpoint of a run: it has no entry {KEY!r}")
    if content[KEY]["format"] < FORMAT:
        raise older_run(path.parent.parent)
    if content[KEY]["format"] > FORMAT:
        newer = content[KEY].get("ssl3d", "of unknown number")
        raise RunError(f"{path} was written by a newer version, {newer}: go on with that one")
    return content
