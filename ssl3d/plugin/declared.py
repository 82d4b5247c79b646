"""What plugins declare, as it is kept: components, commands, checks, and plugins that failed."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ssl3d.plugin.shown import one_line_of
from ssl3d.plugin.stdout import stdout_to_stderr

if TYPE_CHECKING:
    from ssl3d.plugin.config import ComponentConfig


@dataclass(frozen=True)
class Registered:
    """A component and where it comes from."""

    config: type[ComponentConfig]
    plugin: str
    distribution: str
    version: str


@dataclass(frozen=True)
class Command:
    """A command of the program that a plugin brings; `app` is where its code is."""

    name: str
    app: str
    help: str
    plugin: str
    distribution: str

    def load(self) -> Any:
        """Import its application; raises ImportError, whatever the import raises."""
        try:
            with stdout_to_stderr():
                return pkgutil.resolve_name(self.app)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise ImportError(
                f"the command {self.name!r} of plugin {self.plugin} ({self.distribution}) cannot "
                f"be loaded: {one_line_of(error)}"
            ) from error


@dataclass(frozen=True)
class PluginCheck:
    """Something that `ssl3d doctor` tries for a plugin; see `Hooks.ssl3d_checks`."""

    name: str
    run: Callable[[], str]
    advice: str
    plugin: str
    distribution: str


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that could not be loaded, and why. The others still work."""

    plugin: str
    distribution: str
    error: str


def check_command(item: Any) -> tuple[str, str, str]:
    """What a plugin gave as a command; raises TypeError where it is none."""
    name, app, text = item
    if not (re.fullmatch("[a-z][a-z0-9-]*", name) and ":" in app and isinstance(text, str)):
        raise TypeError(f'ssl3d_commands() gave {item!r}; must be (name, "module:app", help)')
    return name, app, text


def check_check(item: Any) -> tuple[str, Callable[[], str], str]:
    """What a plugin gave as a check; raises TypeError where it is none."""
    name, run, advice = item
    if not (isinstance(name, str) and callable(run) and isinstance(advice, str)):
        raise TypeError(f"ssl3d_checks() gave {item!r}; must be (name, function, advice)")
    return name, run, advice
