"""Which plugins loaded, what they bring, which failed and why, and what they want to have tried."""

from __future__ import annotations

from collections.abc import Iterator

from ssl3d.doctor.check import Check
from ssl3d.doctor.result import Result
from ssl3d.plugin.declared import PluginFailure, Registered
from ssl3d.plugin.find import load_checks, load_plugins
from ssl3d.plugin.registry import Registry

PART = "plugins"


def look_at_plugins() -> tuple[list[Result], Registry]:
    """A line for each plugin, and the registry of those that work together."""
    components, failures = load_plugins()
    known = {failure.plugin for failure in failures}
    # A plugin may fail at its checks alone.
    failures += tuple(f for f in load_checks()[1] if f.plugin not in known)
    results = [_loaded(name, components) for name in dict.fromkeys(c.plugin for c in components)]
    results += [_failed(failure) for failure in failures]
    registry = Registry(components, failures=failures)
    advice = "uninstall one of the two: specs cannot use this name while two plugins claim it"
    results += [Result(PART, "names", "failed", 0.0, clash, advice) for clash in registry.clashes]
    return results, registry


def plugin_checks() -> Iterator[Check]:
    """What plugins want to have tried, such as the libraries that they stand on."""
    for check in load_checks()[0]:
        yield Check(f"plugin {check.plugin}", check.name, check.run, check.advice)


def _loaded(plugin: str, components: tuple[Registered, ...]) -> Result:
    mine = [c for c in components if c.plugin == plugin]
    brings = ", ".join(
        f"{c.config.kind.replace('_', ' ')} {c.config.component_name()}" for c in mine
    )
    detail = f"{brings} ({mine[0].distribution} {mine[0].version})"
    return Result(PART, plugin, "ok", 0.0, detail)


def _failed(failure: PluginFailure) -> Result:
    advice = (
        f"install what it misses or a version that fits: python -m pip install --upgrade "
        f"{failure.distribution}; or uninstall it"
    )
    detail = f"{failure.distribution}: {failure.error}"
    return Result(PART, failure.plugin, "failed", 0.0, detail, advice)
