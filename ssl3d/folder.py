"""Names in the folder of a run."""

from __future__ import annotations

import os
from pathlib import Path


class RunFolder:
    """Paths of a run.

    Args:
        root: the folder; it need not exist.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.spec_yaml = self.root / "spec.yaml"
        self.spec_json = self.root / "spec.json"
        self.environment = self.root / "environment.json"
        self.metrics = self.root / "metrics.csv"
        self.data = self.root / "data.json"
        self.held_out = self.root / "held_out.csv"
        self.summary = self.root / "summary.json"
        self.bad_files = self.root / "bad_files.jsonl"
        self.loggers = self.root / "loggers.json"
        self.lock = self.root / "run.lock"
        self.checkpoints = self.root / "checkpoints"
        self.pictures = self.root / "pictures"

    @property
    def holds_a_run(self) -> bool:
        """True where a run has left its spec, metrics or checkpoints."""
        return any(
            path.exists()
            for path in (self.spec_json, self.spec_yaml, self.metrics, self.checkpoints)
        )

    def newest_checkpoint(self) -> Path | None:
        """The checkpoint of the highest step."""
        return max(self.checkpoints.glob("step-*.ckpt"), default=None)

    def newest_step(self) -> int:
        """The step of the newest checkpoint; 0 where there is none."""
        newest = self.newest_checkpoint()
        return 0 if newest is None else int(newest.stem.removeprefix("step-"))

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step goes; names sort by step."""
        return self.checkpoints / f"step-{step:09d}.ckpt"
