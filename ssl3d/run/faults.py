"""Steps whose gradient is not finite: skipped, counted, and too many of them end the run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ssl3d.folder import RunFolder
from ssl3d.run.run_error import NotFiniteError
from ssl3d.run.sent import Verdict
from ssl3d.run.setting import Setting

WINDOW = 100
"""Steps that `trainer.max_skipped_share` looks back on."""

MOST_NAMED = 20
"""Sources that are named before the rest is counted."""


class Faults:
    """Counts faults and says when there are too many.

    In half precision the gradient overflows now and then although no loss does. Such a step is
    skipped too, and is no fault as long as the scale of the losses is at least 1.

    Args:
        setting: of the run.
    """

    def __init__(self, setting: Setting) -> None:
        self._folder, self._warn = setting.folder, setting.warn
        self._options = setting.options
        self._steps: list[int] = []
        self._since_row = self._bad_losses = 0

    def count_losses(self, bad: int) -> None:
        """Count micro-batches that no mean holds, since their loss is not finite."""
        self._bad_losses += bad

    def is_fault(self, verdict: Verdict) -> bool:
        """True where a step was skipped and should not have had to be."""
        overflow = self._options.precision == "16" and not verdict.bad_losses
        return not verdict.finite and not (overflow and verdict.scale >= 1)

    def add(self, step: int, *, verdict: Verdict, sources: list[str], captured: str) -> None:
        """Count the fault of a step and say it.

        Args:
            step: the number of steps with it.
            verdict: of the step.
            sources: of its samples, on all ranks.
            captured: what was done to have it looked at, in words.

        Raises:
            NotFiniteError: there were too many.
        """
        self._steps = [one for one in self._steps if one > step - WINDOW] + [step]
        self._since_row += 1
        what = "a loss" if verdict.bad_losses else "the gradient"
        named = "\n".join(f"  {name}" for name in sources[:MOST_NAMED])
        if len(sources) > MOST_NAMED:
            named += f"\n  and {len(sources) - MOST_NAMED} more"
        found = f"{what} is not finite. The sources of this step were:\n{named}\n{captured}"
        why = self._too_many(step)
        if why is None:
            self._warn(f"Step {step} was skipped: {found}")
            return
        advice = _advice(self._folder, before=step - self.streak(step) + 1)
        raise NotFiniteError(f"Stopped at step {step}: {found}\n{why}. {advice}")

    def streak(self, step: int) -> int:
        """How many steps in a row were faults, up to `step`."""
        streak = 0
        while step - streak in self._steps:
            streak += 1
        return streak

    def _too_many(self, step: int) -> str | None:
        streak = self.streak(step)
        if streak >= self._options.max_skipped_streak:
            return (
                f"{streak} steps in a row were not finite, and trainer.max_skipped_streak is "
                f"{self._options.max_skipped_streak}"
            )
        if len(self._steps) > self._options.max_skipped_share * WINDOW:
            return (
                f"{len(self._steps)} of the last {WINDOW} steps were not finite, more than "
                f"trainer.max_skipped_share ({self._options.max_skipped_share:g}) allows"
            )
        return None

    def take(self) -> dict[str, float]:
        """Columns for the next row, where there was something; begins anew."""
        counts = {"skipped_steps": self._since_row, "bad_losses": self._bad_losses}
        self._since_row = self._bad_losses = 0
        return {name: float(count) for name, count in counts.items() if count}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {
            "steps": self._steps,
            "since_row": self._since_row,
            "bad_losses": self._bad_losses,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up `state_dict`'s."""
        self._steps, self._since_row = list(state["steps"]), state["since_row"]
        self._bad_losses = state["bad_losses"]


def _advice(folder: RunFolder, *, before: int) -> str:
    """How to go on from the newest checkpoint from before a step: those since have its fault."""
    there, first = sorted(folder.checkpoints.glob("step-*.ckpt")), folder.checkpoint(before)
    good, later = (
        [path for path in there if path < first],
        [path for path in there if path >= first],
    )
    lower = "Look at the sources, or lower optimizer.lr or optimizer.clip"
    if not good:
        return f"{lower}, and begin anew: there is no checkpoint from before these steps"
    remove = f"remove the later ones ({shlex.join(['rm', *map(str, later)])}) and " if later else ""
    return (
        f"{lower}; {remove}go on from {good[-1]} with --resume, which takes a changed "
        "optimizer.lr and optimizer.clip"
    )
