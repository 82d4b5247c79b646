"""`ssl3d export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, or of an exported encoder.")
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="WAY",
            help="encoder, or a way that the run's backbone has: nnunet and nnssl for resunet, "
            "monai for monai.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="New folder. Default: RUN/exports/WAY."),
    ] = None,
    plans: Annotated[
        Path | None,
        typer.Option("--plans", metavar="FILE", help="With nnunet: the plans of a data set."),
    ] = None,
    configuration: Annotated[
        str | None,
        typer.Option("--configuration", help="With nnunet: which of them. Default: 3d_fullres."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OPTION=VALUE",
            help="Set another option of the way. The value is read as YAML. May be given several "
            "times.",
        ),
    ] = None,
) -> None:
    """Write a run's encoder for another project, read it back and compare."""
    from ssl3d.cli.settings import parse_settings
    from ssl3d.tasks.export import export as write

    named = {"plans": plans and str(plans), "configuration": configuration}
    options = {name: value for name, value in named.items() if value is not None}
    done = write(run, to=to, out=out, **parse_settings(values or []), **options)
    typer.echo(f"{done.out}: {', '.join(done.files)}, card.json")
    largest = max(done.card["compared"]["differences"])
    typer.echo(
        f"Read back and compared on {done.card['compared']['volume']}: all feature maps agree, "
        f"largest difference {largest:.1e} of the largest value"
    )
    for note in done.card["notes"]:
        typer.echo(f"- {note}")
