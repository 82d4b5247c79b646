"""Runs that something happens to, and what must come out of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from run_folders import assert_same_weights, rows_without_time, weights

from ssl3d import ExperimentSpec
from ssl3d.files import is_running

VICTIM = Path(__file__).with_name("victim.py")
ROOT_WITHOUT_ITS_POWER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@dataclass
class Disturbed:
    """A run in `out`.

    Attributes:
        spec: of the run.
        out: its folder.
        undisturbed: folder of the run that nothing happened to.
        tell: takes what came out, for the page.
    """

    spec: ExperimentSpec
    out: Path
    undisturbed: Path
    tell: Callable[[str], None]

    def popen(self, what: str, *arguments: str, prefix: tuple[str, ...] = ()) -> Any:
        """Start `ssl3d pretrain` in a process of its own, to which `what` happens."""
        spec = self.out.parent / "given.json"
        spec.write_text(self.spec.to_json())
        command = (*prefix, sys.executable, VICTIM, what, "pretrain", spec, "--out", self.out)
        return subprocess.Popen(
            [*command, *arguments],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def happens(self, what: str, *arguments: str, code: int, **options: Any) -> str:
        """Wait for the end, which has this exit code and no traceback; what was said of it."""
        run = self.popen(what, *arguments, **options)
        said, errors = run.communicate(timeout=120)
        assert run.returncode == code, said + errors
        assert "Traceback" not in said + errors
        if code == 2:
            assert errors.startswith("Error: ")
            assert errors.count("Error") == 1
        assert not is_running(run.pid)
        return str(errors or said)

    def stopped(self, *, after: int) -> None:
        """Make `out` a run that was killed some time after it saved a step."""
        shutil.copytree(self.undisturbed, self.out)
        for path in (self.out / "checkpoints").iterdir():
            if int(path.stem.removeprefix("step-")) > after:
                path.unlink()

    def refuses(self, ssl3d: Any, *arguments: str, says: str) -> None:
        """Resuming ends with one message."""
        done = ssl3d("resume", self.out, *arguments)
        assert done.code == 2
        assert done.err.startswith("Error: ")
        assert says in done.err
        self.tell_refused(done.err)

    def ends_equal(self, ssl3d: Any, *, how: str = "resumed") -> None:
        """Resuming leaves what the undisturbed run left, and nothing else."""
        done = ssl3d("resume", self.out)
        assert done.code == 0, done.err
        self.is_equal()
        self.tell(f"{how}: equal")

    def is_equal(self) -> None:
        mine, other = self.out, self.undisturbed
        assert rows_without_time(mine) == rows_without_time(other)
        assert (mine / "held_out.csv").read_bytes() == (other / "held_out.csv").read_bytes()
        assert_same_weights(weights(mine, step=6), weights(other, step=6))
        assert (mine / "encoder.safetensors").read_bytes() == (
            other / "encoder.safetensors"
        ).read_bytes()
        files = [{path.relative_to(one) for path in one.rglob("*")} for one in (mine, other)]
        assert {path for path in files[0] if "faults" not in path.parts} == files[1]

    def tell_refused(self, message: str) -> None:
        """Put a message on the page, without the places of this machine."""
        line = " ".join(message.removeprefix("Error: ").split("\n")[:2]).strip()
        line = line.replace(str(self.out), "OUT").replace(str(self.out.parent), "DIR")
        line = re.sub(r"/\S*/(?=case\d)", "", line)
        line = re.sub(r"process \d+ on \S+ since [^ .]+", "process … on … since …", line)
        self.tell(f"refused: “{line}”".replace("|", "/"))
