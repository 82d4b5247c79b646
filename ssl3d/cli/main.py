"""The program `ssl3d`: its sub-commands, and how it ends."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

import ssl3d
from ssl3d.cli.cache import cache
from ssl3d.cli.components import components
from ssl3d.cli.evaluate import evaluate
from ssl3d.cli.export import export
from ssl3d.cli.finetune import finetune
from ssl3d.cli.inspect import inspect
from ssl3d.cli.lr import lr
from ssl3d.cli.manifest import manifest
from ssl3d.cli.options import options
from ssl3d.cli.plugin_commands import Program
from ssl3d.cli.predict import predict
from ssl3d.cli.prepare import prepare
from ssl3d.cli.pretrain import pretrain
from ssl3d.cli.probe import probe
from ssl3d.cli.replay import replay
from ssl3d.cli.resume import resume
from ssl3d.cli.schema import schema
from ssl3d.cli.terminal import tolerate_plain_terminals
from ssl3d.doctor.command import doctor

USER_ERRORS = (ValueError, OSError, ImportError)
"""What a user can put right: one message, exit code 2. Anything else is a bug and is raised."""


@dataclass
class _State:
    """Options that come before the sub-command."""

    debug: bool = False


app = typer.Typer(
    name="ssl3d",
    cls=Program,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# Sub-commands are mounted here, those of plugins by `Program`. Their modules import nothing heavy:
# `--help` loads them all.
app.command()(pretrain)
app.command()(finetune)
app.command()(predict)
app.command()(evaluate)
app.command()(probe)
app.command()(resume)
app.command()(replay)
app.command()(export)
app.command()(lr)
app.command()(components)
app.command()(options)
app.command()(schema)
app.command()(inspect)
app.command()(prepare)
app.command()(cache)
app.command()(manifest)
app.command()(doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ssl3d {ssl3d.__version__}")
        raise typer.Exit


@app.callback()
def program(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error as well.")
    ] = False,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Pre-train 3D medical imaging models on unlabelled volumes, computing only what is visible."""
    context.obj.debug = debug


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process.

    Exit codes: 0 when done, 1 when something that was asked for failed, 2 for an error that the
    user can put right (one message on stderr), 85 for a run that was asked to stop and is saved,
    130 when interrupted.
    """
    tolerate_plain_terminals()
    state = _State()
    try:
        app(args=arguments, prog_name="ssl3d", obj=state)
    except USER_ERRORS as error:
        if state.debug:
            traceback.print_exc()
        else:
            typer.secho(f"Error: {_message(error)}", fg="red", err=True)
        sys.exit(2)


def _message(error: Exception) -> str:
    return str(error) or type(error).__name__
