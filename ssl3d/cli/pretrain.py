"""`ssl3d pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl3d.cli.settings import parse_settings
from ssl3d.run.signals import stoppable


@stoppable()  # torch is imported for seconds
def pretrain(
    spec: Annotated[
        Path,
        typer.Argument(
            metavar="SPEC", help="A Python file that defines `spec`, a YAML or a JSON file."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run.", metavar="DIR")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Set an option of the spec, such as optimizer.lr=1e-4 or masker=mim. The value "
            "is read as YAML. May be given several times.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in DIR.")
    ] = False,
    accept_changed_data: Annotated[
        bool,
        typer.Option(
            "--accept-changed-data",
            help="With --resume: go on where files were added, are missing or have changed. What "
            "stays keeps its side of the split, what is new is held out where its group is and "
            "else trained on, what is missing leaves.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Validate the spec, print it in full with model size, cells and expected memory, "
            "and what the headers of the files say: how many, sizes, split. Then leave.",
        ),
    ] = False,
    time: Annotated[
        bool,
        typer.Option("--time", help="With --dry-run: measure the time of a step on noise as well."),
    ] = False,
) -> None:
    """Pre-train the backbone of a spec on its volumes."""
    from ssl3d.tasks.pretrain.spec import ExperimentSpec

    if out is None and not dry_run:
        raise typer.BadParameter("give the folder of the run", param_hint="--out")
    if dry_run and (resume or accept_changed_data):
        raise typer.BadParameter(
            "shows what a new run would be: leave out --resume and --accept-changed-data",
            param_hint="--dry-run",
        )
    if time and not dry_run:
        raise typer.BadParameter("goes with --dry-run", param_hint="--time")
    experiment = ExperimentSpec.load(spec)
    if values:
        experiment = experiment.with_values(parse_settings(values))
    if dry_run:
        from ssl3d.tasks.pretrain.data_summary import print_data_summary
        from ssl3d.tasks.pretrain.summary import print_summary

        print_summary(experiment, time=time)
        print_data_summary(experiment.data)
        return
    from ssl3d.tasks.pretrain.run import pretrain as run

    assert out is not None
    result = run(experiment, out=out, resume=resume, accept_changed_data=accept_changed_data)
    if result.exit_code:
        raise typer.Exit(result.exit_code)
