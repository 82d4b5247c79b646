"""A run that something happens to: `python victim.py WHAT ARGUMENTS OF ssl3d`.

What happens to a step happens to the fourth of six, with samples 6 and 7.
"""

from __future__ import annotations

import io
import itertools
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

import ssl3d.tasks.pretrain.finish as at_the_end
from ssl3d.cli import main
from ssl3d.tasks.pretrain.module import PretrainModule


def kill(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def within_a_checkpoint() -> None:
    """Half of the second one is written."""
    save, calls = torch.save, itertools.count(1)

    def half(content: Any, file: BinaryIO) -> None:
        if next(calls) < 2:
            return save(content, file)
        whole = io.BytesIO()
        save(content, whole)
        file.write(whole.getvalue()[: whole.tell() // 2])
        file.flush()
        return kill()

    torch.save = half


def in_step(act: Callable[[Any], Any], *, sample: int = 6) -> Callable[[], None]:
    def patch() -> None:
        forward = PretrainModule.forward

        def acting(self: PretrainModule, batch: Any) -> Any:
            found = forward(self, batch)
            if sample in batch.samples:
                loss = act(found["loss"])
                found["loss"] = found["loss"] if loss is None else loss
            return found

        PretrainModule.forward = acting  # type: ignore[method-assign]

    return patch


def fill(loss: Any = None) -> None:  # noqa: ARG001
    """Fill the disk of the run's folder."""
    with (out() / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def fill_at_the_end() -> None:
    export = at_the_end.export_encoder

    def full(*given: Any, **named: Any) -> Any:
        fill()
        os.truncate(out() / "filler", (out() / "filler").stat().st_size - 8192)  # for its .json
        return export(*given, **named)

    at_the_end.export_encoder = full


def pause(loss: Any) -> None:  # noqa: ARG001
    (out() / "paused").touch()
    while (out() / "paused").exists():
        time.sleep(0.05)


def out() -> Path:
    return Path(sys.argv[sys.argv.index("--out") + 1])


WHAT: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "kill within a checkpoint": within_a_checkpoint,
    "kill": in_step(kill),
    "kill before the encoder": lambda: setattr(at_the_end, "export_encoder", kill),
    "kill before the summary": lambda: setattr(at_the_end, "write_json", kill),
    "SIGTERM": in_step(lambda _: os.kill(os.getpid(), signal.SIGTERM)),
    # One reader is two batches ahead: in step three the last one has not been asked for.
    "kill a reader": in_step(lambda _: multiprocessing.active_children()[0].kill(), sample=4),
    "full disk": in_step(fill),
    "full disk at the end": fill_at_the_end,
    "largest file": in_step(lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))),
    "NaN": in_step(lambda loss: loss * math.nan),
    "read-only": in_step(lambda _: (out() / "checkpoints").chmod(0o555)),
    "pause": in_step(pause),
}


if __name__ == "__main__":
    what = sys.argv.pop(1)
    torch.set_num_threads(1)
    WHAT[what]()
    main(sys.argv[1:])
