"""`ssl3d evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SIDES = ("testing", "choosing", "training", "unused")


def evaluate(
    what: Annotated[
        str,
        typer.Argument(
            metavar="PREDICTIONS|RUN",
            help="Predictions: a folder (also of `ssl3d predict`), a quoted pattern with stars, a "
            "file, or a table with the columns prediction and label. Or a fine-tuning run, which "
            "is measured on labelled volumes.",
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Argument(
            metavar="LABELS",
            help="What is true: a folder with files of the same names, a pattern in which the "
            "stars stand for the same, a file; of predicted cases a table.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder for metrics.csv, cases.csv and summary.json."
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME=VALUE",
            help="Name a label; without it as the predictions' .labels.json say.",
        ),
    ] = None,
    ignore: Annotated[
        int | None, typer.Option("--ignore", help="Value of voxels that nobody labelled.")
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", help="Expression with one group: the person, in the path."),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out labels without a prediction.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="SPEC",
            help="For a run: a file with the part data of a fine-tuning spec, all of which is "
            "tested on. Without it the run's own test cases.",
        ),
    ] = None,
    side: Annotated[
        str, typer.Option("--side", metavar="|".join(SIDES), help="Which of a run's own cases.")
    ] = "testing",
    device: Annotated[
        str | None, typer.Option("--device", help="For a run: such as cpu or cuda.")
    ] = None,
) -> None:
    """Compare predictions with labels, or measure a run on labelled volumes."""
    from ssl3d.folder import RunFolder
    from ssl3d.tasks.predict.runs import no_run, runs_in

    if side not in SIDES:
        raise ValueError(f"--side: given {side!r}: give one of {', '.join(SIDES)}")
    of_maps = {
        "--label": label is not None,
        "--ignore": ignore is not None,
        "--group-by": group_by is not None,
    }
    missing_allowed = {"--allow-missing": allow_missing}
    of_runs = {"--side": side != SIDES[0], "--device": device is not None}
    runs = runs_in(Path(what))
    if runs and runs != [Path(what)]:
        raise ValueError(
            f"{what} holds a run for each fold, and {runs[0].parent / 'folds.json'} their numbers: "
            f"give one of them, such as {runs[0]}"
        )
    if not runs and RunFolder(what).holds_a_run:
        raise ValueError(no_run(Path(what)))
    if runs:
        if labels is not None:
            raise ValueError(
                f"{what} is a run: give its labelled volumes by --data, or leave out {labels}"
            )
        _refuse({**of_maps, **missing_allowed}, what="predictions, and this is a run")
        _refuse({"--side": of_runs["--side"] and data is not None}, what="a run's own cases")
        from ssl3d.tasks.evaluate.run import evaluate_run
        from ssl3d.tasks.labelled_spec import LabelledSpec

        given = None if data is None else LabelledSpec.load(data).data
        evaluate_run(what, data=given, side=side, out=out, device=device)  # type: ignore[arg-type]
        return
    if data is not None:
        raise ValueError(f"--data is for a fine-tuning run that has ended, and {what} is none")
    _refuse(of_runs, what="a run, and these are predictions")
    names = _legend(label or [])

    from ssl3d.tasks.evaluate.maps import evaluate_maps
    from ssl3d.tasks.evaluate.outputs import evaluate_outputs
    from ssl3d.tasks.predict.outputs import TABLE

    if (Path(what) / TABLE).is_file():
        if labels is None:
            raise ValueError(f"{what} holds predictions of cases: give a table of what is true")
        _refuse(of_maps, what="label maps, and these are predictions of cases")
        evaluate_outputs(what, labels, out=out, allow_missing=allow_missing)
        return
    evaluate_maps(
        what,
        labels,
        out=out,
        legend=names,
        ignore=ignore,
        group_by=group_by,
        allow_missing=allow_missing,
    )


def _refuse(given: dict[str, bool], *, what: str) -> None:
    """Options that would do nothing."""
    idle = [name for name, is_given in given.items() if is_given]
    if idle:
        raise ValueError(f"{', '.join(idle)}: for {what}: leave it out")


def _legend(given: list[str]) -> dict[str, int] | None:
    """`["liver=1"]` to `{"liver": 1}`."""
    found: dict[str, int] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals and value.isdecimal() and int(value)) or name in found:
            raise ValueError(
                f"--label: given {one!r}: give NAME=VALUE, a whole number from 1, once"
            )
        found[name] = int(value)
    return found or None
