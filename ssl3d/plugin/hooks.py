"""The hooks of a plugin: what it may declare. None changes anything. Imports no pydantic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from ssl3d.plugin.config import ComponentConfig

GROUP = "ssl3d"
"""Entry points of plugins."""

COMMANDS = "ssl3d.commands"
"""Entry points of plugins that bring commands: `ssl3d --help` loads these and no others."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class Hooks:
    """What a plugin may implement, each hook by a function of its module."""

    @hookspec
    def ssl3d_components(self) -> Iterable[type[ComponentConfig]]:  # type: ignore[empty-body]
        """The config classes of its components."""

    @hookspec
    def ssl3d_commands(self) -> Iterable[tuple[str, str, str]]:  # type: ignore[empty-body]
        """Commands of the program, each as (name, "package.module:app", help).

        `app` is a Typer application; its module is imported when the command is called. The
        plugin's module is named in the entry-point group `ssl3d.commands` as well, and is quick to
        import: `ssl3d --help` does it.
        """

    @hookspec
    def ssl3d_checks(  # type: ignore[empty-body]
        self,
    ) -> Iterable[tuple[str, Callable[[], str], str]]:
        """What `ssl3d doctor` tries, each as (name, check, advice).

        A check takes nothing and gives a line about what it found. It raises
        `ssl3d.doctor.check.NotThere` where something optional is not installed, and anything else
        where it does not work; the advice says what to do then. Checks run in a process of their
        own, and import what they need when they are called.
        """
