"""`ssl3d lr`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl3d.cli.settings import parse_settings


def lr(
    spec: Annotated[
        Path,
        typer.Argument(
            metavar="SPEC", help="A Python file that defines `spec`, a YAML or a JSON file."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for lr.csv and lr.png.", metavar="DIR")
    ],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Set an option of the spec, such as optimizer.name=sgd. May be given several "
            "times.",
        ),
    ] = None,
    lowest: Annotated[float, typer.Option("--from", metavar="RATE", help="The first rate.")] = 1e-7,
    highest: Annotated[float, typer.Option("--to", metavar="RATE", help="The last rate.")] = 1.0,
    steps: Annotated[
        int,
        typer.Option("--steps", min=2, help="From the one to the other, of a micro-batch each."),
    ] = 200,
) -> None:
    """Train for a few steps at rising learning rates, and suggest one."""
    from ssl3d.tasks.pretrain.rates import find_rates, said_of
    from ssl3d.tasks.pretrain.spec import ExperimentSpec

    experiment = ExperimentSpec.load(spec)
    if values:
        experiment = experiment.with_values(parse_settings(values))
    found = find_rates(experiment, out=out, lowest=lowest, highest=highest, steps=steps)
    typer.echo(said_of(found))
    typer.echo(f"Curve: {out / 'lr.png'}")
