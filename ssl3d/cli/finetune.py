"""`ssl3d finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl3d.cli.settings import parse_settings
from ssl3d.run.signals import stoppable


@stoppable()  # torch is imported for seconds
def finetune(
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
            help="Set an option of the spec, such as data.subjects=5. May be given several times.",
        ),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option("--fold", metavar="K", help="The fold to test on, or all, one after another."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint in DIR.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Validate the spec, print it in full with what it starts from, the size of the "
            "model, and the cases of each side. Then leave.",
        ),
    ] = False,
) -> None:
    """Fine-tune a pre-trained encoder, or train from scratch, on labelled volumes."""
    from ssl3d.tasks.finetune.spec import FinetuneSpec

    if out is None and not dry_run:
        raise typer.BadParameter("give the folder of the run", param_hint="--out")
    experiment = FinetuneSpec.load(spec)
    given = parse_settings(values or [])
    if fold is not None and fold != "all":
        if not fold.isdigit():
            raise typer.BadParameter("give a number from 0, or all", param_hint="--fold")
        given["data.fold"] = int(fold)
    if given:
        experiment = experiment.with_values(given)
    if dry_run:
        from ssl3d.tasks.finetune.summary import print_summary

        print_summary(experiment)
        return
    assert out is not None
    if fold == "all":
        from ssl3d.tasks.finetune.folds import finetune_folds

        code = finetune_folds(experiment, out=out, resume=resume).exit_code
    else:
        from ssl3d.tasks.finetune.run import finetune as run

        code = run(experiment, out=out, resume=resume).exit_code
    if code:
        raise typer.Exit(code)
