"""`ssl3d replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def replay(
    step: Annotated[
        Path, typer.Argument(metavar="DIR", help="A captured step: faults/step-… of a run.")
    ],
    device: Annotated[
        str, typer.Option("--device", help="What to compute on, such as cuda.", metavar="NAME")
    ] = "cpu",
) -> None:
    """Take a step again that was not finite, and say where it ceases to be."""
    from ssl3d.run.replay import described
    from ssl3d.tasks.pretrain.replay import replay_step

    for replayed in replay_step(step, device=device):
        typer.echo(described(replayed))
