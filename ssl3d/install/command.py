"""`ssl3d install`: libraries that pip alone cannot install."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Build and install optional libraries.")


@app.callback()
def install() -> None:
    """Build and install optional libraries."""


@app.command()
def minkowski(
    cuda: Annotated[
        bool | None,
        typer.Option(
            "--cuda/--cpu",
            help="Build for CUDA or for CPU only. Default: what torch was built with.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Build even if a fitting wheel is kept.")
    ] = False,
    wheel_dir: Annotated[
        Path | None,
        typer.Option(
            "--wheel-dir",
            help="Where built wheels are kept. Default: the user's cache folder.",
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Build MinkowskiEngine 0.5.4 for the installed torch, keep the wheel and install it."""
    from rich.console import Console

    from ssl3d.install.errors import InstallError
    from ssl3d.install.minkowski import install_minkowski
    from ssl3d.install.progress import rich_reporter

    console = Console()
    try:
        with rich_reporter(console) as reporter:
            done = install_minkowski(reporter=reporter, cuda=cuda, force=force, wheel_dir=wheel_dir)
    except InstallError as error:
        Console(stderr=True).print(
            str(error), style="red", markup=False, highlight=False, soft_wrap=True
        )
        raise typer.Exit(code=1) from error
    said = f"MinkowskiEngine 0.5.4 is installed. Wheel: {done.wheel}"
    console.print(said, highlight=False, soft_wrap=True)
