"""Runs whose files, folders or disk are not as they were."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Command
from faulty import ROOT_WITHOUT_ITS_POWER, Disturbed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="disks and limits of Linux")

USER = ROOT_WITHOUT_ITS_POWER if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
"""Before a command, so that it may write only what its mode says."""


@pytest.fixture
def small_disk(disturbed: Disturbed) -> Iterator[None]:
    """The run's folder on a disk of its own."""
    disturbed.out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(disturbed.out)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip(f"no disk may be mounted here: {done.stderr.strip()}")
    yield
    subprocess.run(["umount", str(disturbed.out)], check=True)


@pytest.mark.faults("a full disk (a tmpfs of its own)", "one message; with space again: equal")
@pytest.mark.usefixtures("small_disk")
def test_a_full_disk(disturbed: Disturbed, ssl3d: Command) -> None:
    said = disturbed.happens("full disk", code=2)
    assert "No space left on device" in said
    assert str(disturbed.out) in said
    disturbed.tell_refused(said)
    disturbed.refuses(ssl3d, says=f"No space left on device: '{disturbed.out}/")
    (disturbed.out / "filler").unlink()
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("a disk that is full when a run finishes", "one message; then equal")
@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_at_the_end(disturbed: Disturbed, ssl3d: Command) -> None:
    said = disturbed.happens("full disk at the end", code=2)
    assert "encoder.safetensors" in said
    disturbed.tell_refused(said)
    (disturbed.out / "filler").unlink()
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("a file that cannot grow (a limit on file sizes)", "one message; then equal")
def test_a_file_that_cannot_grow(disturbed: Disturbed, ssl3d: Command) -> None:
    said = disturbed.happens("largest file", code=2)
    assert "step-000000004.ckpt cannot be written: File too large" in said
    disturbed.tell_refused(said)
    assert [path.name for path in (disturbed.out / "checkpoints").iterdir()] == [
        "step-000000002.ckpt"
    ]
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("a flipped bit in the newest checkpoint", "refused; from the one before: equal")
def test_a_flipped_bit(disturbed: Disturbed, ssl3d: Command) -> None:
    disturbed.stopped(after=4)
    newest = disturbed.out / "checkpoints/step-000000004.ckpt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    newest_is = "step-000000004.ckpt is damaged: its checksum is another. The one before it, step-"
    disturbed.refuses(ssl3d, says=f"{newest_is}000000002.ckpt, is whole")
    newest.unlink()
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("a folder that becomes read-only within a run", "one message; then equal")
def test_a_folder_that_becomes_read_only(disturbed: Disturbed, ssl3d: Command) -> None:
    said = disturbed.happens("read-only", code=2, prefix=USER)
    assert "step-000000004.ckpt cannot be written: Permission denied" in said
    disturbed.tell_refused(said)
    (disturbed.out / "checkpoints").chmod(0o755)
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("a read-only folder", "one message; with the right to write again: equal")
def test_a_read_only_folder(disturbed: Disturbed, ssl3d: Command) -> None:
    disturbed.stopped(after=2)
    disturbed.out.chmod(0o555)
    said = disturbed.happens("nothing", "--resume", code=2, prefix=USER)
    assert f"out: {disturbed.out} cannot be written (Permission denied)" in said
    disturbed.tell_refused(said)
    disturbed.out.chmod(0o755)
    disturbed.ends_equal(ssl3d)


@pytest.mark.faults("a volume disappears between stop and resume", "refused; put back: equal")
def test_a_volume_disappears(disturbed: Disturbed, ssl3d: Command, volumes: Path) -> None:
    disturbed.stopped(after=2)
    volume, away = volumes / "case1.nii.gz", volumes.parent / "away"
    volume.rename(away)
    try:
        disturbed.refuses(ssl3d, says="case1.nii.gz")
    finally:
        away.rename(volume)
    disturbed.ends_equal(ssl3d, how="put back and resumed")


@pytest.mark.faults("a volume changes between stop and resume", "refused; put back: equal")
def test_a_volume_changes(disturbed: Disturbed, ssl3d: Command, volumes: Path) -> None:
    disturbed.stopped(after=2)
    volume, at = volumes / "case1.nii.gz", (volumes / "case1.nii.gz").stat().st_mtime_ns
    content = volume.read_bytes()
    volume.write_bytes((volumes / "case2.nii.gz").read_bytes())
    try:
        disturbed.refuses(ssl3d, says="case1.nii.gz")
    finally:
        volume.write_bytes(content)
        os.utime(volume, ns=(at, at))
    disturbed.ends_equal(ssl3d, how="put back and resumed")
