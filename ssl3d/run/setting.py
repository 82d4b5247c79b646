"""What does not change while a run trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lightning.fabric import Fabric

from ssl3d.folder import RunFolder
from ssl3d.run.trainer_spec import TrainerSpec


@dataclass(frozen=True)
class Setting:
    """Where, how long and on what a run trains.

    Attributes:
        fabric: launched.
        options: of the spec.
        folder: of the run.
        seed: of what layers draw at random.
        about: plain values for checkpoints, such as the spec.
        warn: takes a line for the user.
    """

    fabric: Fabric
    options: TrainerSpec
    folder: RunFolder
    seed: int
    about: Mapping[str, Any]
    warn: Callable[[str], None]

    @property
    def main(self) -> bool:
        """True on the one rank that writes."""
        return self.fabric.global_rank == 0
