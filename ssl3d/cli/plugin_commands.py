"""Commands that plugins bring, imported when they are called."""

from __future__ import annotations

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ssl3d.plugin.declared import Command, PluginFailure
from ssl3d.plugin.find import load_commands


class Program(TyperGroup):
    """The sub-commands of the core, then those of plugins, which are looked for when needed."""

    _looked = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Of the core and of plugins."""
        self._add()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of the core's, without a look at plugins; else one of a plugin's."""
        if cmd_name not in self.commands:
            self._add()
        return super().get_command(ctx, cmd_name)

    def _add(self) -> None:
        """Once; what cannot be had is said and takes nothing along."""
        if self._looked:
            return
        self._looked = True
        commands, failures = load_commands()
        claims = Counter([*self.commands, *(command.name for command in commands)])
        for command in commands:
            if claims[command.name] == 1:
                self.commands[command.name] = _Later(command)
            else:
                _say(command, f"is left out: its command {command.name!r} is another's as well")
        for failure in failures:
            _say(failure, f"could not be loaded: {failure.error}")


def _say(source: Command | PluginFailure, what: str) -> None:
    typer.echo(f"Plugin {source.plugin} of {source.distribution} {what}", err=True)


class _Later(TyperCommand):
    """Stands for a plugin's command in the list, and turns into it when it is called."""

    def __init__(self, command: Command) -> None:
        super().__init__(command.name, help=command.help)
        self._command = command

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """That of the application itself."""
        application = typer.main.get_command(self._command.load())
        return application.make_context(info_name, args, parent, **extra)
