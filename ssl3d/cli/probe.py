"""`ssl3d probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl3d.cli.settings import parse_settings


def probe(
    encoder: Annotated[
        str,
        typer.Argument(metavar="ENCODER", help="A pre-training run, or an exported encoder."),
    ],
    spec: Annotated[
        Path,
        typer.Argument(
            metavar="SPEC",
            help="What is labelled: a fine-tuning spec, or a file of its parts task and data.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder for probe.json and probe.csv."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Set an option, such as data.subjects=5."),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", help="How many random encoders stand beside it.", min=1)
    ] = 3,
    neighbours: Annotated[int, typer.Option("--neighbours", help="That vote in k-NN.", min=1)] = 20,
    sites: Annotated[
        int, typer.Option("--sites", help="Of each crop to fit on, for label maps.", min=16)
    ] = 4096,
    device: Annotated[
        str | None,
        typer.Option("--device", help="Such as cpu or cuda; without it a GPU where there is one."),
    ] = None,
) -> None:
    """See what can be read off a frozen encoder: a linear map and k-NN, beside random weights."""
    from ssl3d.tasks.labelled_spec import LabelledSpec

    labelled = LabelledSpec.load(spec)
    if values:
        labelled = labelled.with_values(parse_settings(values))

    from ssl3d.tasks.probe.probe import probe as run

    run(
        encoder,
        labelled,
        out=out,
        seeds=tuple(range(seeds)),
        neighbours=neighbours,
        sites=sites,
        device=device,
    )
