"""Which plugins loaded, what they bring, and which failed and why."""

from __future__ import annotations

from ssl3d.doctor.result import Result
from ssl3d.plugin.find import PluginFailure, Registered, load_plugins
from ssl3d.plugin.registry import Registry

PART = "plugins"


def look_at_plugins() -> tuple[list[Result], Registry]:
    """A line for each plugin, and the registry of those that work together."""
    components, failures = load_plugins()
    results = [_loaded(name, components) for name in dict.fromkeys(c.plugin for c in components)]
    results += [_failed(failure) for failure in failures]
    registry = Registry(components, failures=failures)
    advice = "uninstall one of the two: specs cannot use this name while two plugins claim it"
    results += [Result(PART, "names", "failed", 0.0, clash, advice) for clash in registry.clashes]
    return results, registry


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
