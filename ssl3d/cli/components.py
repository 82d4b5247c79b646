"""`ssl3d components`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from ssl3d.plugin.stdout import stdout_to_stderr

if TYPE_CHECKING:
    from rich.console import Console

    from ssl3d.plugin.catalogue import Component


def components(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this component with every option.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every option of every component.")
    ] = False,
) -> None:
    """List what is installed, from which distribution, and the options of a component."""
    from rich.console import Console

    from ssl3d.plugin import catalogue

    with stdout_to_stderr():  # strangers' code describes its options
        found = catalogue.components(name=name)
        failed, clashes = catalogue.failures(), catalogue.clashes()
    if as_json:
        plain = {
            "components": [dataclasses.asdict(component) for component in found],
            "failures": [dataclasses.asdict(failure) for failure in failed],
            "clashes": clashes,
        }
        typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    console = Console()
    if name is None:
        _print_list(console, found)
    for component in found if name is not None else ():
        _print_options(console, component)
    problems = [
        f"Plugin {failure.plugin} of {failure.distribution} could not be loaded: {failure.error}"
        for failure in failed
    ]
    for problem in (*problems, *clashes):
        console.print(problem, style="red", markup=False)


def _print_list(console: Console, found: tuple[Component, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("kind", "name", "from", "what it is")
    for component in found:
        table.add_row(
            component.kind,
            Text(component.name, style="bold"),
            f"{component.distribution} {component.version}",
            Text(component.summary),
        )
    console.print(table)
    console.print("Options of one: ssl3d components NAME", style="dim")


def _print_options(console: Console, component: Component) -> None:
    from rich.text import Text

    from ssl3d.cli.print_options import print_options

    console.print(Text(f"{component.kind} {component.name}", style="bold"))
    console.print(
        Text(
            f"from {component.distribution} {component.version}, plugin {component.plugin}, "
            f"config {component.config}",
            style="dim",
        )
    )
    for paragraph in component.description.split("\n\n"):
        console.print(Text("\n" + paragraph.replace("\n", " ")))
    console.print(Text("\nOptions" if component.options else "\nIt has no options."))
    print_options(console, component.options)
