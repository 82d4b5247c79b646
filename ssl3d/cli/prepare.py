"""`ssl3d prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ssl3d.cli.settings import parse_settings

if TYPE_CHECKING:
    from ssl3d.data.stored.fill import Filled

SHOWN = 10


def prepare(
    spec: Annotated[
        Path | None,
        typer.Argument(
            metavar="SPEC", help="YAML file of a pre-training run; its part data counts."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="STORE", help="Folder to fill; without it data.store."),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            "--verify",
            metavar="STORE",
            help="Read every volume of a store and name what is damaged, missing or extra. Leaves "
            "with 1 where something is damaged or missing.",
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Set an option, such as data.spacing=1."),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", help="Processes; each holds a volume.", min=1)
    ] = 1,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Round nothing: 16 bits where they hold every value of a volume, else 32. Without "
            "it volumes of more values are rounded to 16 bits where they keep 4096 steps between "
            "their 0.5 and 99.5 percentiles.",
        ),
    ] = False,
) -> None:
    """Prepare the volumes of a spec once, into a store that its runs read (data.store)."""
    if (spec is None) == (verify is None):
        raise typer.BadParameter("give a spec to prepare, or --verify STORE")
    if verify is not None:
        _verify(verify.expanduser())
        return
    from rich.console import Console

    from ssl3d.data.stored.fill import fill_store
    from ssl3d.tasks.pretrain.spec import ExperimentSpec

    assert spec is not None
    experiment = ExperimentSpec.load(spec)
    if values:
        experiment = experiment.with_values(parse_settings(values))
    named = experiment.data.store
    if out is None and named is None:
        raise typer.BadParameter("give the folder of the store", param_hint="--out")
    store = (out or Path(str(named))).expanduser()
    filled = fill_store(
        experiment.data, store=store, workers=workers, exact=exact, console=Console()
    )
    _say(filled, store=store)


def _say(filled: Filled, *, store: Path) -> None:
    from ssl3d.data.data_error import shown

    for name, samples in (
        ("Left out", filled.bad.values()),
        ("Prepared anew, the files or options have changed", filled.changed),
        ("Gone; their volumes stay in the folder but no run reads them", filled.gone),
    ):
        lines = list(samples)
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        if lines:
            typer.echo("\n  ".join([f"{name}:", *lines[:SHOWN], *more]))
    volumes = [one.volume for one in filled.manifest.samples if one.volume is not None]
    size = sum(volume["frame"]["nbytes"] for volume in volumes) / 2**30
    typer.echo(
        f"{shown(store)}: {len(volumes)} volumes, {filled.made} prepared now and {filled.kept} "
        f"before, {size:.3g} GiB"
    )
    short = [volume for volume in volumes if volume["dtype"] == "uint16"]
    rounded = [volume["rounding"] for volume in short if volume["rounding"]]
    by = f", by {max(rounded):.2g} at most after normalisation" if rounded else ""
    typer.echo(
        f"{len(short) - len(rounded)} in 16 bits without rounding, {len(rounded)} rounded to 16 "
        f"bits{by}, {len(volumes) - len(short)} in 32 bits"
    )
    kept = [volume["kept"] for volume in volumes]
    if kept and filled.manifest.options["foreground"]["margin"] is not None:
        typer.echo(
            f"Cut to the foreground: {sum(kept) / len(kept):.0%} of the voxels are kept "
            f"({min(kept):.0%} to {max(kept):.0%})"
        )
    typer.echo(f"Runs read it with data.store: {shown(store)}")


def _verify(store: Path) -> None:
    from rich.console import Console

    from ssl3d.data.data_error import shown
    from ssl3d.data.stored.verify import verify

    found = verify(store, console=Console())
    for name in ("damaged", "missing", "extra"):
        for line in getattr(found, name):
            typer.echo(f"{name}: {line}")
    typer.echo(
        f"{shown(store)}: {found.volumes} volumes, {len(found.damaged)} damaged, "
        f"{len(found.missing)} missing; {len(found.extra)} files that are no volume of it"
    )
    if not found.whole:
        typer.echo("Remove what is damaged and fill the store again: ssl3d prepare SPEC")
        raise typer.Exit(1)
