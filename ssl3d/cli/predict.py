"""`ssl3d predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AXES = "zyx"


def predict(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... INPUT...",
            help="First fine-tuning runs, whose probabilities are averaged (a folder of folds "
            "stands for all of them). Then what to predict: files, folders and quoted globs; for "
            "several channels NAME=FILE or NAME=PATTERN each.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the predictions.", metavar="DIR")],
    again: Annotated[
        bool, typer.Option("--again", help="Predict what is in DIR already anew.")
    ] = False,
    mirror: Annotated[
        str,
        typer.Option(
            "--mirror",
            metavar="AXES",
            help="Predict windows mirrored as well, such as zyx; not along x where labels tell "
            "left from right.",
        ),
    ] = "",
    overlap: Annotated[
        float, typer.Option("--overlap", help="Share of a window that the next one sees again.")
    ] = 0.5,
    batch: Annotated[int, typer.Option("--batch", help="Windows at once.")] = 1,
    precision: Annotated[
        str, typer.Option("--precision", metavar="32|bf16|16", help="Half where it is safe.")
    ] = "32",
    device: Annotated[
        str | None,
        typer.Option("--device", help="Such as cpu or cuda; without it a GPU where there is one."),
    ] = None,
) -> None:
    """Predict files by fine-tuned models: segmentations as NIfTI, the rest as a table."""
    from pydantic import ValidationError

    from ssl3d.plugin.spec_error import SpecError, explain
    from ssl3d.tasks.finetune.window_spec import WindowSpec
    from ssl3d.tasks.predict.runs import split_arguments

    letters = [letter for letter in mirror.lower() if letter not in ", "]
    if not set(letters) <= set(AXES):
        raise ValueError(f"--mirror: given {mirror!r}: give some of the axes z, y and x, as in zyx")
    values = {
        "overlap": overlap,
        "mirror": tuple(map(AXES.index, letters)),
        "batch": batch,
        "precision": precision,
    }
    try:
        windows = WindowSpec(**values)
    except ValidationError as error:
        raise SpecError(explain(error, model=WindowSpec, given=values)) from None
    runs, inputs = split_arguments(arguments)

    from ssl3d.tasks.predict.predict import predict as run

    code = run(runs, inputs, out=out, windows=windows, again=again, device=device).exit_code
    if code:
        raise typer.Exit(code)
