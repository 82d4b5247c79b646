"""`ssl3d options`."""

from __future__ import annotations

from typing import Annotated

import typer

from ssl3d.cli.specs import Kind, Of, spec_of


def options(
    part: Annotated[
        str | None,
        typer.Argument(metavar="PART", help="Show this part only, such as data or optimizer."),
    ] = None,
    of: Of = Kind.PRETRAIN,
) -> None:
    """Show every option of a spec with type, bounds and default; components have their own."""
    import inspect

    from rich.console import Console
    from rich.text import Text

    from ssl3d.cli.print_options import print_options
    from ssl3d.plugin.option import options_of, parts_of, tag_of
    from ssl3d.plugin.registry import did_you_mean

    parts = [(path or "spec", model) for path, model in parts_of(spec_of(of))]
    names = [path for path, _ in parts]
    if part not in (None, *names):
        hint = did_you_mean(str(part), names)
        raise ValueError(f"unknown part {part!r}.{hint} Allowed: {', '.join(dict.fromkeys(names))}")
    console = Console()
    for path, model in parts:
        if part in (None, path):
            which = f", {tag_of(model)}" if names.count(path) > 1 else ""
            console.print(Text(path + which, style="bold"))
            paragraph = inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0]
            console.print(Text(paragraph.replace("\n", " ")))
            print_options(console, options_of(model))
