"""The folder of a run: where everything is, and whether a run may use it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ssl3d.plugin.spec_error import SpecError
from ssl3d.report.write import write_text
from ssl3d.run.run_error import RunError
from ssl3d.tasks.pretrain.spec import ExperimentSpec

FREE_ON_RESUME = (
    "sparse_backend",
    "data.cache",
    "data.workers",
    "trainer.steps",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.nodes",
    "trainer.strategy",
    "trainer.log_every",
    "trainer.validate_every",
    "trainer.checkpoint_every",
    "trainer.keep_checkpoints",
    "trainer.pictures",
    "trainer.loggers",
)
"""What a resumed run may change: nothing of what is learnt from which data by which rule.

Other steps move the end of the learning-rate schedule; other devices change the global batch.
"""


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
        self.summary = self.root / "summary.json"
        self.bad_files = self.root / "bad_files.jsonl"
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

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step goes; names sort by step."""
        return self.checkpoints / f"step-{step:09d}.ckpt"

    def check_new(self) -> None:
        """Raise RunError where another run, or a file, is in the way."""
        if self.root.exists() and not self.root.is_dir():
            raise RunError(f"out: {self.root} is a file: give another folder")
        if self.holds_a_run:
            raise RunError(
                f"out: {self.root} holds another run. Go on with it (--resume, or resume=True), "
                "or give another folder"
            )

    def check_resumable(self, spec: ExperimentSpec) -> None:
        """Raise RunError where there is nothing to resume, or where it was another experiment."""
        if not self.spec_json.exists():
            raise RunError(
                f"out: {self.root} holds no run to resume: start one without --resume "
                "(resume=False), or give its folder"
            )
        try:
            before = ExperimentSpec.from_json(self.spec_json.read_text(encoding="utf-8"))
        except (SpecError, OSError) as error:
            raise RunError(f"{self.spec_json} cannot be read any more: {error}") from error
        found = {
            path: values
            for path, values in differences(before.to_dict(), spec.to_dict()).items()
            if not any(path == free or path.startswith(f"{free}.") for free in FREE_ON_RESUME)
        }
        if found:
            lines = "\n".join(
                f"  {path}: was {was!r}, is {now!r}" for path, (was, now) in found.items()
            )
            raise RunError(
                f"out: {self.root} was run with another spec:\n{lines}\nA resumed run may change "
                f"only {', '.join(FREE_ON_RESUME)}. Set these back, or start a new run"
            )

    def write_spec(self, spec: ExperimentSpec) -> None:
        """Make the folders and write the resolved spec."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        write_text(self.spec_yaml, spec.to_yaml())
        write_text(self.spec_json, spec.to_json())


def differences(before: Any, after: Any, *, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted path to (before, after) of every value that differs between two plain specs."""
    if isinstance(before, dict) and isinstance(after, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in [*before, *(key for key in after if key not in before)]:
            inside = f"{path}.{key}" if path else str(key)
            found |= differences(before.get(key), after.get(key), path=inside)
        return found
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return differences(dict(enumerate(before)), dict(enumerate(after)), path=path)
    return {} if before == after else {path: (before, after)}
