"""`ssl3d predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AXES = "zyx"
AS_RUN = "Default: as the run's spec says."


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
        str | None,
        typer.Option(
            "--mirror",
            metavar="AXES|none",
            help="Predict windows mirrored as well, such as zyx; not along x where labels tell "
            f"left from right. {AS_RUN}",
        ),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option("--overlap", help=f"Share of a window that the next one sees again. {AS_RUN}"),
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", help=f"Windows at once. {AS_RUN}")] = None,
    precision: Annotated[
        str | None,
        typer.Option("--precision", metavar="32|bf16|16", help=f"Half where it is safe. {AS_RUN}"),
    ] = None,
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

    given = {"overlap": overlap, "batch": batch, "precision": precision}
    values: dict[str, object] = {name: one for name, one in given.items() if one is not None}
    if mirror is not None:
        values["mirror"] = _axes(mirror)
    try:
        windows = WindowSpec(**values)
    except ValidationError as error:
        raise SpecError(explain(error, model=WindowSpec, given=values)) from None
    runs, inputs = split_arguments(arguments)

    from ssl3d.tasks.predict.predict import predict as run

    code = run(runs, inputs, out=out, windows=windows, again=again, device=device).exit_code
    if code:
        raise typer.Exit(code)


def _axes(text: str) -> tuple[int, ...]:
    """`zy` to (0, 1)."""
    letters = [] if text == "none" else [one for one in text.lower() if one not in ", "]
    if not set(letters) <= set(AXES):
        raise ValueError(
            f"--mirror: given {text!r}: give some of the axes z, y and x, as in zyx, or none"
        )
    return tuple(map(AXES.index, letters))
