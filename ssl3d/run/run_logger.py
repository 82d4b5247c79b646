"""What a run tells a logger."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

Flat = dict[str, bool | int | float | str]


class RunLogger(ABC):
    """One of Lightning's loggers.

    Args:
        logger: Lightning's; it opens its files or connection when it is first asked for.

    Attributes:
        logger: Lightning's.
        identity: of the run that is kept elsewhere, so that a run which goes on finds it; None
            where there is no such thing, or not yet.
    """

    identity: str | None = None

    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def begin(self) -> None:
        """Open its files or connection."""
        _ = self.logger.experiment  # type: ignore[attr-defined]

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Numbers of a step, by column."""
        self.logger.log_metrics(dict(numbers), step=step)

    @abstractmethod
    def picture(self, name: str, path: Path, step: int) -> None:
        """A picture of a step, from its file."""

    @abstractmethod
    def parameters(self, values: Flat) -> None:
        """The hyper-parameters of the run; a run that goes on may give others."""

    def close(self) -> None:
        """Write what is held back, and end."""
        self.logger.finalize("success")


def flat(values: Mapping[str, Any], *, path: str = "") -> Flat:
    """Dotted paths to plain values; lists become JSON, None becomes "none"."""
    found: Flat = {}
    for key, value in values.items():
        inside = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            found |= flat(value, path=inside)
        elif isinstance(value, bool | int | float | str):
            found[inside] = value
        else:
            found[inside] = "none" if value is None else json.dumps(value, default=str)
    return found
