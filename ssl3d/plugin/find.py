"""Find plugins through entry points and ask each for what it declares, one at a time."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pluggy

from ssl3d.plugin.declared import (
    Command,
    PluginCheck,
    PluginFailure,
    Registered,
    check_check,
    check_command,
)
from ssl3d.plugin.hooks import COMMANDS, GROUP, Hooks
from ssl3d.plugin.shown import one_line_of
from ssl3d.plugin.stdout import stdout_to_stderr

EntryPoint = importlib.metadata.EntryPoint
T = TypeVar("T")


@dataclass(frozen=True)
class _Declared(Generic[T]):
    """What one hook of one plugin gave."""

    plugin: str
    distribution: str
    version: str
    items: Sequence[T]


def load_plugins(
    points: Iterable[EntryPoint] | None = None,
) -> tuple[tuple[Registered, ...], tuple[PluginFailure, ...]]:
    """The components of every plugin; a plugin that fails is reported, not raised.

    Args:
        points: entry points to load; by default those of every installed distribution.

    Returns:
        The declared components in the order of the plugins' names, and the failures.
    """
    from ssl3d.plugin.check_config import check_config

    found, failures = _ask("ssl3d_components", check_config, group=GROUP, points=points)
    components = {
        # A plugin that is listed twice declares the same classes again.
        config: Registered(config, given.plugin, given.distribution, given.version)
        for given in reversed(found)
        for config in reversed(given.items)
    }
    return tuple(reversed(components.values())), failures


def load_commands(
    points: Iterable[EntryPoint] | None = None,
) -> tuple[tuple[Command, ...], tuple[PluginFailure, ...]]:
    """The commands of every plugin that is named in the group `ssl3d.commands`."""
    found, failures = _ask("ssl3d_commands", check_command, group=COMMANDS, points=points)
    commands = [
        Command(*item, given.plugin, given.distribution) for given in found for item in given.items
    ]
    return tuple(commands), failures


def load_checks(
    points: Iterable[EntryPoint] | None = None,
) -> tuple[tuple[PluginCheck, ...], tuple[PluginFailure, ...]]:
    """What the plugins want to have tried, in the order of their names."""
    found, failures = _ask("ssl3d_checks", check_check, group=GROUP, points=points)
    checks = [
        PluginCheck(*item, given.plugin, given.distribution)
        for given in found
        for item in given.items
    ]
    return tuple(checks), failures


def _ask(
    hook: str,
    check: Callable[[Any], T],
    *,
    group: str,
    points: Iterable[EntryPoint] | None,
) -> tuple[list[_Declared[T]], tuple[PluginFailure, ...]]:
    """Import each plugin and call one of its hooks; `check` raises where an item is none.

    What a plugin prints meanwhile goes to stderr.
    """
    if points is None:
        points = importlib.metadata.entry_points(group=group)
    found: list[_Declared[T]] = []
    failures: list[PluginFailure] = []
    for point in sorted(points, key=lambda p: p.name):
        distribution = (point.dist and point.dist.name) or "unknown distribution"
        version = (point.dist and point.dist.version) or "unknown"
        try:
            with stdout_to_stderr():
                items = [check(item) for item in _call(hook, point)]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a stranger's code may raise anything, and may exit
            failures.append(PluginFailure(point.name, distribution, one_line_of(error)))
            continue
        found.append(_Declared(point.name, distribution, version, items))
    return found, tuple(failures)


def _call(hook: str, point: EntryPoint) -> list[Any]:
    """What the hook gives, asked of this plugin alone: pluggy loses all answers where one raises.

    A manager for each plugin is what `PluginManager.subset_hook_caller` comes down to, and takes
    plugins of one name, and one plugin under two names.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    plugin = point.load()
    manager.register(plugin)
    callers = manager.get_hookcallers(plugin)
    if not callers:
        raise TypeError(f"{point.value} has no @hookimpl function, such as ssl3d_components()")
    for caller in callers:
        if not caller.has_spec():
            raise TypeError(f"{point.value} implements {caller.name}, which is no hook of ssl3d")
        if caller.name == "ssl3d_commands" and not _named_for_commands(point):
            raise TypeError(
                f"{point.value} implements ssl3d_commands: name it in the entry-point group "
                f"{COMMANDS!r} as well"
            )
    answers = getattr(manager.hook, hook)()
    # pluggy leaves out None.
    if len(answers) < sum(caller.name == hook for caller in callers):
        raise TypeError(f"{point.value}: {hook}() gives None: return a tuple, or yield one by one")
    return [item for answer in answers for item in answer]


def _named_for_commands(point: EntryPoint) -> bool:
    named = importlib.metadata.entry_points(group=COMMANDS)
    return point.group == COMMANDS or any(other.value == point.value for other in named)
