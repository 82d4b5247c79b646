"""Checkpoints that an older version has written, as this one writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl3d.run.checkpoint_file import read_checkpoint
from ssl3d.run.run_error import RunError
from ssl3d.run.training import FORMAT, KEY


def read_run_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of a run, whatever version has written it.

    Raises:
        RunError: it is damaged, of no run, or of a newer version.
    """
    content = read_checkpoint(path)
    if KEY not in content:
        raise RunError(f"{path} is no checkpoint of a run: it has no entry {KEY!r}")
    written = content[KEY]["format"]
    if written > FORMAT:
        raise RunError(f"{path} was written by a newer version of ssl3d: update this one")
    return content if written == FORMAT else _of_lightning(content)


def _of_lightning(content: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 was what Lightning's Trainer saves, with the states of its callbacks."""
    done, callbacks = content[KEY], content["callbacks"]
    metrics = callbacks["Metrics"]
    sums = {name: float(value) for name, value in metrics["sums"].items()}
    shares = {name: float(value) for name, value in metrics.get("shares", {}).items()}
    if "fed" in metrics:  # when every micro-batch counted whole
        shares = dict.fromkeys(sums, float(metrics["fed"]))
    average = callbacks.get("EncoderAverage", {}).get("average")
    if average:
        names = [name for name in average if name.startswith("module.")]
        average = {
            "steps": average["n_averaged"].float(),
            "weights": {name.removeprefix("module."): average[name] for name in names},
        }
    return {
        KEY: {
            **done,
            "format": FORMAT,
            "row_samples": metrics["samples_before"],
            "row_seconds": metrics["seconds_before"],
        },
        "state_dict": content["state_dict"],
        "optimizer": content["optimizer_states"][0],
        "scaler": content.get("MixedPrecision"),
        "average": average or None,
        "means": {
            "sums": sums,
            "shares": shares,
            "counts": {"empty_crops": float(metrics.get("empty", 0))},
        },
        "faults": {"steps": [], "since_row": 0, "bad_losses": 0},
    }
