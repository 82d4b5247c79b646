"""`ssl3d inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="Folders, files and quoted globs, or a manifest (CSV, TSV, JSON), or a "
            "pre-training spec, or a file of its part data.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="HTML page with pictures, all in one file."),
    ] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="The same as data.")
    ] = None,
    plans: Annotated[
        Path | None,
        typer.Option(
            "--plans",
            metavar="FILE",
            help="nnU-Net's plans file: suggest its spacing, patch, strides and normalisation.",
        ),
    ] = None,
    configuration: Annotated[
        str, typer.Option("--configuration", help="Of the plans.")
    ] = "3d_fullres",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=0,
            help="Processes that read, a volume each at a time; without it one a core, at most 8. "
            "0: none but this one.",
        ),
    ] = None,
) -> None:
    """Look at every file of a data set, and suggest a spec for it."""
    if configuration != "3d_fullres" and plans is None:
        raise typer.BadParameter("goes with --plans", param_hint="--configuration")

    from ssl3d.tasks.inspect.run import inspect_data

    inspect_data(
        data,
        out=out,
        json_file=as_json,
        plans=plans,
        configuration=configuration,
        workers=workers,
    )
