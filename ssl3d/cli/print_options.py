"""Options on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ssl3d.plugin.option import Option


def print_options(console: Console, options: Iterable[Option]) -> None:
    """One line of facts for each option, and its description below."""
    for option in options:
        line = Text(f"  {option.name}", style="bold cyan")
        line.append(f"  {', '.join(facts(option))}", style="not bold default")
        console.print(line)
        console.print(Padding(Text(option.description), (0, 0, 0, 6)))
    console.print()


def facts(option: Option) -> list[str]:
    """Type, unit, bounds and default, those that there are."""
    default = "required" if option.required else f"default {option.shown_default}"
    if isinstance(option.default, dict) and option.default:
        default = "a part of its own"
    return [fact for fact in (option.type, option.unit, option.bounds, default) if fact]
