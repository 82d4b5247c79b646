"""`ssl3d resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl3d.cli.pretrain import parse_settings


def resume(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Set an option that a resumed run may change, such as trainer.steps=20000. May be "
            "given several times.",
        ),
    ] = None,
    accept_changed_data: Annotated[
        bool,
        typer.Option(
            "--accept-changed-data",
            help="Go on where files were added, are missing or have changed.",
        ),
    ] = False,
) -> None:
    """Go on with a run from its newest checkpoint, by the spec that is in its folder."""
    from ssl3d.folder import RunFolder
    from ssl3d.tasks.pretrain.resumable import spec_of
    from ssl3d.tasks.pretrain.run import pretrain as run

    spec = spec_of(RunFolder(folder)).with_values(parse_settings(values or []))
    result = run(spec, out=folder, resume=True, accept_changed_data=accept_changed_data)
    if result.exit_code:
        raise typer.Exit(result.exit_code)
