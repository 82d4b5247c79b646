"""`ssl3d doctor`."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer


class Device(StrEnum):
    """What a sparse backend is tried on."""

    CPU = "cpu"
    CUDA = "cuda"


def doctor(
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Sparse backends with a library of their own must work too."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with the output of what failed.")
    ] = False,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            metavar="NAME",
            help="Try this sparse backend, which must work. May be given several times. Default: "
            "every installed one.",
        ),
    ] = None,
    devices: Annotated[
        list[Device] | None,
        typer.Option(
            "--device",
            help="Try sparse backends on this device, which must be there. May be given several "
            "times. Default: every device that is.",
        ),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            "--limit",
            min=1.0,
            help="Seconds for each sparse backend on each device. Default: 600.",
        ),
    ] = None,
) -> None:
    """Check the installation part by part; exit code 1 if one that is installed does not work."""
    from rich.console import Console

    from ssl3d.doctor.examine import LIMIT, examine
    from ssl3d.doctor.table import plain, print_report, wide_enough

    # Progress goes to stderr, where it does not end up in somebody's JSON.
    with Console(stderr=True).status("looking") as status:
        report = examine(
            strict=strict,
            backends=backends or (),
            devices=[device.value for device in devices or ()],
            limit=LIMIT if limit is None else limit,
            on_part=status.update,
        )
    if as_json:
        typer.echo(json.dumps(plain(report), indent=2, ensure_ascii=False))
    else:
        print_report(report, console=wide_enough(Console()))
    if not report.ok:
        raise typer.Exit(1)
