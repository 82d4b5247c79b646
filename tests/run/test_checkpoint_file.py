"""A checkpoint is whole, verified and holds no code, whatever happens while it is written."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ssl3d.run.checkpoint_file import has_checksum, read_checkpoint, write_checkpoint
from ssl3d.run.run_error import RunError

CONTENT = {
    "step": 3,
    "weights": {"a": torch.arange(200.0)},
    "rest": [None, (1, "x"), torch.Size([2])],
}

linux = pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")


def write(folder: Path, *steps: int) -> list[Path]:
    """Checkpoints of some steps."""
    paths = [folder / f"step-{step:09d}.ckpt" for step in steps]
    for path, step in zip(paths, steps, strict=True):
        write_checkpoint(path, {**CONTENT, "step": step})
    return paths


def test_what_was_written_is_read(tmp_path: Path) -> None:
    (path,) = write(tmp_path, 3)
    for found in (read_checkpoint(path), torch.load(path, weights_only=True)):
        assert torch.equal(found["weights"]["a"], CONTENT["weights"]["a"])  # type: ignore[index]
        assert (found["step"], found["rest"]) == (3, CONTENT["rest"])
    assert zipfile.ZipFile(path).testzip() is None
    assert has_checksum(path)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """Some in every 16 bytes, and all of those that the end of the file is recognised by."""
    before, path = write(tmp_path, 3, 4)
    good, rng = path.read_bytes(), random.Random(0)
    places = [rng.randrange(start, min(start + 16, len(good))) for start in range(0, len(good), 16)]
    for place in {*places, *range(len(good) - 120, len(good))}:
        bad = bytearray(good)
        bad[place] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(RunError, match=r"step-000000004.ckpt is damaged") as raised:
            read_checkpoint(path)
        assert f"{before.name}, is whole" in str(raised.value)
        assert f"rm {path}" in str(raised.value)
        assert "weights_only" not in str(raised.value)


def test_every_cut_is_found(tmp_path: Path) -> None:
    (path,) = write(tmp_path, 3)
    good = path.read_bytes()
    for length in [*range(0, len(good), 61), *range(len(good) - 120, len(good))]:
        path.write_bytes(good[:length])
        with pytest.raises(RunError, match=r"is damaged.* There is no whole one before it"):
            read_checkpoint(path)


def test_the_one_before_is_offered_where_it_is_whole(tmp_path: Path) -> None:
    first, second, third = write(tmp_path, 1, 2, 3)
    for path in (second, third):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match=rf"{third.name} is damaged.*{first.name}, is whole"):
        read_checkpoint(third)


def test_one_of_an_older_version_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "step-000000001.ckpt"
    torch.save({"step": 1}, path)
    with pytest.warns(UserWarning, match=r"step-000000001.ckpt was written by an older version"):
        assert read_checkpoint(path) == {"step": 1}
    assert not has_checksum(path)


def test_damage_in_one_of_an_older_version_is_found(tmp_path: Path) -> None:
    """torch looks at none of an archive's own checksums."""
    path = tmp_path / "step-000000001.ckpt"
    torch.save({"weights": torch.zeros(1000)}, path)
    good = path.read_bytes()
    place = good.index(bytes(4000)) + 2000
    path.write_bytes(good[:place] + b"\1" + good[place + 1 :])
    torch.load(path, weights_only=True)
    with pytest.raises(RunError, match=r"is damaged: its part .*data/0 is another"):
        read_checkpoint(path)


@pytest.mark.parametrize("value", [np.float64(1.0), Path("x"), object()])
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"checkpoint\['a'\]\[1\] is a {type(value).__name__}"):
        write_checkpoint(tmp_path / "a.ckpt", {"a": [1, value]})
    assert os.listdir(tmp_path) == []


def test_code_is_not_run_and_no_one_is_advised_to_run_it(tmp_path: Path) -> None:
    torch.save({"a": np.float64(1.0)}, tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match="older"), pytest.raises(RunError) as raised:
        read_checkpoint(tmp_path / "a.ckpt")
    assert "no checkpoint of a run: it holds code (numpy" in str(raised.value)
    assert raised.value.__suppress_context__
    assert "weights_only" not in str(raised.value)


WRITES_FOREVER = """
import sys, torch
from pathlib import Path
from ssl3d.run.checkpoint_file import write_checkpoint
step = 0
while True:
    write_checkpoint(Path(sys.argv[1]), {"step": step, "a": torch.full((500_000,), float(step))})
    step += 1
    print(step, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_writer_that_is_killed_leaves_the_last_good_one(tmp_path: Path) -> None:
    path, rng = tmp_path / "step-000000001.ckpt", random.Random(1)
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITES_FOREVER, str(path)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        found = read_checkpoint(path)
        assert (found["a"] == found["step"]).all()


FILLS_THE_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from ssl3d.run.checkpoint_file import write_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
size = int(sys.argv[2])
write_checkpoint(Path(sys.argv[1]), {"step": 2, "a": [torch.zeros(size) for _ in range(30)]})
"""


@linux
@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_file_that_cannot_grow_is_one_message(tmp_path: Path, size: int) -> None:
    (path,) = write(tmp_path, 1)
    good = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", FILLS_THE_DISK, str(path), str(size)], capture_output=True, text=True
    )
    last = done.stderr.splitlines()[-1]
    assert f"RunError: {path} cannot be written: File too large. " in last
    assert "resume" in last
    assert path.read_bytes() == good
    assert os.listdir(tmp_path) == [path.name]


def test_a_folder_that_is_a_file_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot be written: (File exists|Not a directory)"):
        write(tmp_path / "checkpoints", 1)
