"""`ssl3d install`: libraries that pip alone cannot install."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


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

    from ssl3d_plugins.sparse_minkowski.install.display import display_on
    from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
    from ssl3d_plugins.sparse_minkowski.install.steps import install_minkowski

    console = Console()
    try:
        with display_on(console) as display:
            wheel = install_minkowski(display=display, cuda=cuda, force=force, wheel_dir=wheel_dir)
    except InstallError as error:
        Console(stderr=True).print(
            str(error), style="red", markup=False, highlight=False, soft_wrap=True
        )
        raise typer.Exit(code=1) from error
    said = f"MinkowskiEngine 0.5.4 is installed. Wheel: {wheel}"
    console.print(said, highlight=False, soft_wrap=True)
