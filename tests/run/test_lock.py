"""One run, one folder."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ssl3d.folder import RunFolder
from ssl3d.run import lock as lock_module
from ssl3d.run.lock import RunLock
from ssl3d.run.lock_owner import Owner
from ssl3d.run.run_error import RunError

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor fork")

HOLDS = """
import os, sys, time
from ssl3d.folder import RunFolder
from ssl3d.run.lock import RunLock
with RunLock(RunFolder(sys.argv[1])):
    if "fork" in sys.argv and os.fork() > 0:  # the child says it, so that it is there by then
        time.sleep(60)
    print("held", flush=True)
    sys.stdin.read()
"""

Hold = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    """Starts processes that hold the folder until their input ends."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(tmp_path / "run"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        with suppress(AttributeError, ProcessLookupError):  # its child as well; not on Windows
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path, hold: Hold) -> None:
    folder, first = RunFolder(tmp_path / "run"), hold()
    for _ in range(2):
        with pytest.raises(RunError, match=rf"in use by another run: process {first.pid} on "):
            RunLock(folder).__enter__()
    first.communicate(b"")
    said: list[str] = []
    with RunLock(folder, say=said.append):
        assert json.loads(folder.lock.read_text())["process"] == os.getpid()
    assert said == []
    assert os.listdir(folder.root) == []


def test_of_many_that_start_at_once_one_gets_it(tmp_path: Path) -> None:
    start, done = threading.Barrier(8), threading.Barrier(8)
    got: list[int] = []

    def run(number: int) -> None:
        start.wait()
        try:
            with RunLock(RunFolder(tmp_path / "run")):
                got.append(number)
                done.wait()
        except RunError:
            done.wait()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_a_second_run_of_the_same_process_is_refused(tmp_path: Path) -> None:
    """As in a notebook; looking for the owner must not free it."""
    folder = RunFolder(tmp_path)
    with RunLock(folder):
        for _ in range(2):
            with pytest.raises(RunError, match=f"process {os.getpid()}"), RunLock(folder):
                pass
    with RunLock(folder):
        pass


@posix
@pytest.mark.parametrize("arguments", [(), ("fork",)])
def test_a_killed_process_is_taken_over_from(
    tmp_path: Path, hold: Hold, arguments: tuple[str, ...]
) -> None:
    """Also while a process that it forked lives on, as those that read data do for a while."""
    first, said = hold(*arguments), list[str]()
    first.kill()
    first.wait()
    with RunLock(RunFolder(tmp_path / "run"), say=said.append):
        pass
    (line,) = said
    assert f"from process {first.pid} on " in line
    assert line.endswith("that process is gone")


def left_by(folder: RunFolder, **changes: Any) -> Owner:
    """A lock file that another process has left."""
    owner = replace(Owner.this_process(), process=2**30, **changes)
    folder.lock.write_text(owner.to_json())
    return owner


def test_another_machine_is_believed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    folder.checkpoint(1).write_text("")
    os.utime(folder.checkpoint(1), (0, os.stat(folder.checkpoint(1)).st_mtime - 600))
    os.utime(folder.checkpoints, (0, os.stat(folder.checkpoint(1)).st_mtime))
    left_by(folder, host="far-away", boot="another")
    said = (
        rf"is held by process {2**30} on far-away.*written to 10 minutes ago.*remove {folder.lock}"
    )
    with pytest.raises(RunError, match=said), RunLock(folder):
        pass
    folder.lock.unlink()
    with RunLock(folder):
        pass


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"boot": "the one before"}, "this machine was started anew since"),
        ({"host": "another-container"}, "that process is gone"),
        ({"host": "far-away", "boot": "x", "job": "42", "restart": 0}, "SLURM has put job 42 back"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says when it was started")
def test_what_is_known_to_be_gone_is_taken_over_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], why: str
) -> None:
    folder, said = RunFolder(tmp_path), list[str]()
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    owner = left_by(folder, **changes)
    with RunLock(folder, say=said.append):
        pass
    assert len(said) == 1
    assert f"Taking {tmp_path} over from {owner}: {why}" in said[0]


def test_another_step_of_the_same_job_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    folder = RunFolder(tmp_path)
    left_by(folder, host="far-away", boot="another")
    with pytest.raises(RunError, match="held by"), RunLock(folder):
        pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file alone says who holds the folder."""
    fcntl = pytest.importorskip("fcntl")

    def none(*args: Any) -> None:  # noqa: ARG001
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    assert lock_module.fcntl is fcntl
    folder, said = RunFolder(tmp_path), list[str]()
    with RunLock(folder), pytest.raises(RunError, match="in use by another run"), RunLock(folder):
        pass
    left_by(folder)
    with RunLock(folder, say=said.append):
        pass
    assert said[0].endswith("that process is gone")


def test_a_lock_whose_writer_was_killed_in_the_middle(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.lock.write_text('{"host": "h')
    with RunLock(folder):
        pass


def test_the_lock_of_another_is_not_removed(tmp_path: Path) -> None:
    """Somebody has removed the file by hand, and another run has begun."""
    folder = RunFolder(tmp_path)
    with RunLock(folder):
        folder.lock.unlink()
        left_by(folder)
    assert folder.lock.exists()


def test_other_ranks_share_the_lock_of_the_first(tmp_path: Path) -> None:
    with RunLock(RunFolder(tmp_path)), RunLock(RunFolder(tmp_path), main=False):
        assert os.listdir(tmp_path) == ["run.lock"]
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_is_one_message() -> None:
    for root in ("/proc/run", "/sys"):
        with pytest.raises(RunError, match=rf"out: {root} cannot be written \("):
            RunLock(RunFolder(root)).__enter__()
