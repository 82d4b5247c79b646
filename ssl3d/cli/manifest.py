"""`ssl3d manifest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def manifest(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Volumes at any depth, DICOM among them.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Ends in .csv, .tsv or .json.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Write over FILE.")] = False,
) -> None:
    """Write a table of the volumes in a folder, to look at, to edit, and to give as data.manifest.

    A row names an image, its person, visit and modality as BIDS names and DICOM headers say them,
    a label map by its name, shape and spacing (z, y, x). No patient's name or birth date is read.
    """
    import warnings

    from ssl3d.data.data_error import DataWarning, shown
    from ssl3d.data.manifest_draft import write_draft

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DataWarning)
        draft = write_draft(folder.expanduser(), out=out.expanduser(), force=force)
    for one in said:
        typer.echo(f"- {one.message}", err=True)
    groups = {row["group"] for row in draft.rows} - {""}
    typer.echo(f"{shown(out)}: {len(draft.rows)} volumes, {len(groups)} groups")
    if not groups:
        typer.echo(
            "- Nobody says whose they are: each counts as a person of its own. Fill in group where "
            "several are of one"
        )
    if draft.alone:
        typer.echo(
            f"- {draft.alone} volumes name no person: each is written as a group of its own. Set "
            "group where several are of one"
        )
    if draft.labels:
        typer.echo(f"- {draft.labels} label maps are guesses by name and grid: look at them")
