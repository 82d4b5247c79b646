"""Two processes that fit a toy: `python two_ranks.py FOLDER OPTIONS`, OPTIONS being JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent


def start(
    folder: Path, *, launcher: tuple[str, ...] = (), timeout: float = 120, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run this file; `task` of the options are those of the toy, the others those of `run`."""
    command = [sys.executable, *launcher, str(Path(__file__)), str(folder), json.dumps(options)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=timeout, check=False
    )


def main() -> None:
    from toy import Toy, run

    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    dies, how = options.pop("dies_at", None), options.pop("how", None)

    class Mortal(Toy):
        def batches(self, *, start: int, rank: int, world: int) -> Any:
            for batch in super().batches(start=start, rank=rank, world=world):
                if dies == [rank, batch.samples[0]]:
                    if how == "kill":
                        os.kill(os.getpid(), signal.SIGKILL)
                    raise ValueError("this rank has had enough")
                if how == "signal" and batch.samples[0] == 5:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield batch

    fitted = run(Mortal(**options.pop("task", {})), folder, **options)
    print(f"rank {os.environ.get('LOCAL_RANK', 0)}: {fitted.ended} {fitted.step}", flush=True)
    sys.exit(fitted.exit_code)


if __name__ == "__main__":
    main()
