"""Runs whose process, or one of whose processes, ends before the last step."""

from __future__ import annotations

import shlex
import signal
import sys

import pytest
from command import Command
from faulty import Disturbed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits of Linux")


@pytest.mark.faults("kill -9 while a checkpoint is written", "resumed from the one before: equal")
def test_killed_within_a_checkpoint(disturbed: Disturbed, ssl3d: Command) -> None:
    disturbed.happens("kill within a checkpoint", code=-signal.SIGKILL)
    left = {path.suffix for path in (disturbed.out / "checkpoints").iterdir()}
    assert left == {".ckpt", ".tmp"}
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("kill -9 within a step", "resumed from the last checkpoint: equal")
def test_killed_within_a_step(disturbed: Disturbed, ssl3d: Command) -> None:
    disturbed.happens("kill", code=-signal.SIGKILL)
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("kill -9 while a run finishes", "resumed: it finishes, equal")
@pytest.mark.parametrize("when", ["encoder", "summary"])
def test_killed_while_finishing(disturbed: Disturbed, ssl3d: Command, when: str) -> None:
    disturbed.happens(f"kill before the {when}", code=-signal.SIGKILL)
    assert not (disturbed.out / "summary.json").exists()
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("SIGTERM", "saved, exit code 85; resumed: equal")
def test_asked_to_stop(disturbed: Disturbed, ssl3d: Command) -> None:
    assert "Stopped after step 4" in disturbed.happens("SIGTERM", code=85)
    disturbed.tell("exit code 85")
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("a reading process is killed", "one message; resumed: equal")
def test_a_dead_reader(disturbed: Disturbed, ssl3d: Command) -> None:
    said = disturbed.happens("kill a reader", "--set", "data.workers=1", code=2)
    assert all(word in said for word in ("memory", "data.workers", "--resume"))
    disturbed.tell_refused(said)
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("a step whose loss is NaN", "skipped and kept for replay, and the run goes on")
def test_a_batch_that_is_not_finite(disturbed: Disturbed, ssl3d: Command) -> None:
    said = disturbed.happens("NaN", code=0)
    assert "Step 4 was skipped: a loss is not finite" in said
    command = next(line for line in said.splitlines() if "ssl3d replay" in line)
    replayed = ssl3d(*shlex.split(command.partition("ssl3d ")[2]))
    assert replayed.code == 0
    assert "its gradient is finite" in replayed.out  # the NaN was not the model's
    assert "case" in replayed.out
    disturbed.tell("step 4 skipped, and replayed by the command that was printed")


@pytest.mark.faults("more steps with NaN than are allowed", "one message; resumed: equal")
def test_too_many_that_are_not_finite(disturbed: Disturbed, ssl3d: Command) -> None:
    said = disturbed.happens("NaN", "--set", "trainer.max_skipped_streak=1", code=2)
    assert "step-000000002.ckpt with --resume" in said
    disturbed.tell_refused(said)
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("a second run in the same folder", "refused, and the first one ends equal")
def test_two_runs_in_one_folder(disturbed: Disturbed, ssl3d: Command) -> None:
    first = disturbed.popen("pause")
    pause = disturbed.out / "paused"
    try:
        while not pause.exists():
            assert first.poll() is None, first.communicate()
        disturbed.refuses(ssl3d, says=f"in use by another run: process {first.pid} on ")
        given = disturbed.out.parent / "given.json"
        done = ssl3d("pretrain", given, "--out", disturbed.out)
        assert (done.code, "holds another run" in done.err) == (2, True)
        pause.unlink()
        assert first.wait(timeout=120) == 0
    finally:
        first.kill()
        first.communicate()
    disturbed.is_equal()
    disturbed.tell("the first: equal")
