"""`ssl3d resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl3d.cli.settings import parse_settings
from ssl3d.run.signals import stoppable


@stoppable()  # torch is imported for seconds
def resume(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Set an option that a resumed run may change, such as trainer.log_every=50. May "
            "be given several times.",
        ),
    ] = None,
    accept_changed_data: Annotated[
        bool,
        typer.Option(
            "--accept-changed-data",
            help="Of pre-training: go on where files were added, are missing or have changed.",
        ),
    ] = False,
) -> None:
    """Go on with a run from its newest checkpoint, by the spec that is in its folder."""
    from ssl3d.folder import RunFolder
    from ssl3d.run.resume import spec_before

    given, run = parse_settings(values or []), RunFolder(folder)
    if "task" in spec_before(run):
        from ssl3d.tasks.finetune import resumable as tuned
        from ssl3d.tasks.finetune.run import finetune

        if accept_changed_data:
            raise typer.BadParameter(
                "a fine-tuning run goes on with the cases that it has",
                param_hint="--accept-changed-data",
            )
        code = finetune(tuned.spec_of(run).with_values(given), out=folder, resume=True).exit_code
    else:
        from ssl3d.tasks.pretrain import resumable as trained
        from ssl3d.tasks.pretrain.run import pretrain

        code = pretrain(
            trained.spec_of(run).with_values(given),
            out=folder,
            resume=True,
            accept_changed_data=accept_changed_data,
        ).exit_code
    if code:
        raise typer.Exit(code)
