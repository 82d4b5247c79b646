"""`ssl3d cache`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer


def cache(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="A run's data.cache.folder; without it, the one in the user's cache directory.",
        ),
    ] = None,
    clear: Annotated[
        bool,
        typer.Option(
            "--clear", help="Remove the volumes. Runs that use them prepare them anew and go on."
        ),
    ] = False,
) -> None:
    """Show how much prepared volumes take on disk, or remove them."""
    from ssl3d.data.cache_folder import (
        cached_volumes,
        default_cache_folder,
        remove,
        remove_unfinished,
    )
    from ssl3d.data.data_error import shown

    folder = default_cache_folder() if folder is None else folder.expanduser()
    if not folder.is_dir() and folder.exists():
        raise ValueError(f"--folder: {shown(folder)} is no folder")
    volumes = cached_volumes(folder)
    size = f"{len(volumes)} prepared volumes, {sum(one.nbytes for one in volumes) / 2**30:.3g} GiB"
    if clear:
        remove(volumes)
        remove_unfinished(folder)
        typer.echo(f"Removed from {shown(folder)}: {size}")
        return
    typer.echo(f"{shown(folder)}: {size}")
    if volumes:
        times = [datetime.fromtimestamp(one.used).strftime("%Y-%m-%d %H:%M") for one in volumes]
        typer.echo(f"Last used between {times[0]} and {times[-1]}")
        typer.echo("Bound it with data.cache.disk in a spec; remove them all with --clear")
