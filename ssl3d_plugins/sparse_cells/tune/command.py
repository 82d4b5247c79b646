"""`ssl3d tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from ssl3d_plugins.sparse_cells.tune.points import Point

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def tune(
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="cpu, cuda or cuda:1; without it a GPU if there is one."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long to measure, about.")] = 90,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be measured.")] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Show what is kept, measure nothing.")
    ] = False,
    clear: Annotated[
        bool,
        typer.Option("--clear", help="Remove what is kept: runs go by the built-in table again."),
    ] = False,
) -> None:
    """Measure the ways in which the sparse backend `cells` can convolve on this machine.

    What is found is kept in the user's cache folder, for this device, torch and Triton. Runs that
    start later read it. It changes their speed, and their results by rounding alone.
    """
    from rich.console import Console

    from ssl3d_plugins.sparse_cells.tune.points import points

    if dry_run + show + clear > 1:
        raise typer.BadParameter("give one of --dry-run, --show and --clear")
    console = Console()
    if show or clear:
        (_clear if clear else _show)(console)
        return
    where = _device(device)
    at = points(where)
    if dry_run or not at:
        _plan(console, at, where, seconds=seconds)
        return
    _tune(console, at, where, seconds=seconds)


def _device(given: str | None) -> torch.device:
    import torch

    there = torch.cuda.is_available()
    try:
        device = torch.device(given or ("cuda" if there else "cpu"))
    except RuntimeError as error:
        raise typer.BadParameter(
            f"--device: given {given!r}; allowed: cpu, cuda, cuda:1"
        ) from error
    if device.type not in ("cpu", "cuda"):
        raise typer.BadParameter(f"--device: given {given!r}; allowed: cpu, cuda, cuda:1")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise typer.BadParameter(
            f"--device: given {given!r}, but torch reaches {torch.cuda.device_count()} GPUs here"
        )
    return device


def _plan(console: Console, at: tuple[Point, ...], device: torch.device, *, seconds: float) -> None:
    from ssl3d_plugins.sparse_cells.about import about_ways
    from ssl3d_plugins.sparse_cells.ways_file import device_name, versions, ways_folder

    console.print(f"{device_name(device)}, {versions()}", highlight=False, soft_wrap=True)
    console.print(f"Now: {about_ways(str(device))}", highlight=False, soft_wrap=True)
    if not at:
        console.print("Nothing to measure: one way alone computes here")
        return
    for point in at:
        names = ", ".join(way.name for way in point.ways(device))
        console.print(f"  {point}: {names}", highlight=False, soft_wrap=True)
    console.print(
        f"{len(at)} convolutions in about {seconds:.0f} s, kept in {ways_folder()}",
        highlight=False,
        soft_wrap=True,
    )


def _tune(console: Console, at: tuple[Point, ...], device: torch.device, *, seconds: float) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    from ssl3d_plugins.sparse_cells.tune.run import tune as measure_all
    from ssl3d_plugins.sparse_cells.tune.show import built_in, measured_table
    from ssl3d_plugins.sparse_cells.ways_file import write_table

    columns = (BarColumn(), MofNCompleteColumn(), TimeLeft(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=len(at), completed=-1)

        def on_point(point: Point) -> None:
            progress.update(bar, advance=1, description=str(point))

        tuned = measure_all(at, device=device, seconds=seconds, on_point=on_point)
    console.print(measured_table(tuned.found, device=device))
    for point, one in tuned.found.items():
        for name, why in one.wrong.items():
            console.print(f"Left out: {name} at {point}: {why}", style="yellow", soft_wrap=True)
    if tuned.left:
        console.print(
            f"No time for {len(tuned.left)} of {len(at)}, which go by similar ones or by the "
            "built-in table: give more --seconds",
            soft_wrap=True,
        )
    chosen = {
        p: tuned.table.fastest(p.shape(device), among=one.milliseconds)
        for p, one in tuned.found.items()
    }
    other = sum(name != built_in(point, device=device) for point, name in chosen.items())
    path = write_table(tuned.table)
    console.print(
        f"{other} of {len(chosen)} go another way than by the built-in table. Written: {path}",
        highlight=False,
        soft_wrap=True,
    )


def _show(console: Console) -> None:
    from ssl3d_plugins.sparse_cells.tune.show import kept_table
    from ssl3d_plugins.sparse_cells.ways_file import read_tables, ways_folder

    tables = read_tables()
    for table in tables.values():
        console.print(kept_table(table))
    if not tables:
        console.print(
            f"Nothing is kept in {ways_folder()} for this torch and Triton: the built-in table "
            "counts. Measure with: ssl3d tune",
            highlight=False,
            soft_wrap=True,
        )


def _clear(console: Console) -> None:
    from ssl3d_plugins.sparse_cells.ways_file import ways_folder

    paths = sorted(ways_folder().glob("*.json"))
    for path in paths:
        path.unlink()
        console.print(f"Removed: {path}", highlight=False, soft_wrap=True)
    if not paths:
        console.print(f"Nothing is kept in {ways_folder()}", highlight=False, soft_wrap=True)
