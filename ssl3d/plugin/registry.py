"""The installed components, keyed by kind and name. Immutable, built on first use."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.declared import PluginFailure, Registered
from ssl3d.plugin.find import load_plugins


class UnknownComponentError(ValueError):
    """A spec names a component that is not installed."""


class DuplicateComponentError(ValueError):
    """Two plugins claim one name."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """A near-miss suggestion, or an empty string."""
    close = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


class Registry:
    """Immutable mapping from (kind, name) to a component.

    A name that two plugins claim belongs to neither: what names it is refused, and the others work.

    Attributes:
        failures: plugins that could not be loaded.
        clashes: a line for each name that several plugins claim.
    """

    def __init__(
        self, components: Iterable[Registered], *, failures: Iterable[PluginFailure] = ()
    ) -> None:
        claims: dict[tuple[str, str], list[Registered]] = {}
        for entry in components:
            key = (entry.config.kind, entry.config.component_name())
            claims.setdefault(key, []).append(entry)
        self._components = {key: one for key, (one, *others) in claims.items() if not others}
        self._clashes = {key: _clash(key, all_) for key, all_ in claims.items() if len(all_) > 1}
        self.failures = tuple(failures)
        self.clashes = tuple(self._clashes[key] for key in sorted(self._clashes))

    def entry(self, kind: str, *, name: str) -> Registered:
        """The component of this kind and name.

        Raises:
            UnknownComponentError: it is not installed; the message lists what is.
            DuplicateComponentError: two plugins declare it.
        """
        if (kind, name) in self._components:
            return self._components[kind, name]
        self.refuse_clash(kind, name=name)
        names = self.names(kind)
        raise UnknownComponentError(
            f"unknown {kind} {name!r}.{did_you_mean(name, names)} "
            f"Installed: {', '.join(names) or 'none'}.{self.failure_note()}"
        )

    def refuse_clash(self, kind: str, *, name: str) -> None:
        """Raise DuplicateComponentError where two plugins declare this kind and name."""
        if (kind, name) in self._clashes:
            raise DuplicateComponentError(self._clashes[kind, name])

    def config(self, kind: str, *, name: str) -> type[ComponentConfig]:
        """The config class of a component; raises what `entry` raises."""
        return self.entry(kind, name=name).config

    def names(self, kind: str) -> list[str]:
        """Installed names of one kind, sorted."""
        return sorted(name for k, name in self._components if k == kind)

    def kinds(self) -> list[str]:
        """Kinds of which something is declared, sorted."""
        return sorted({kind for kind, _ in (*self._components, *self._clashes)})

    def entries(self, kind: str | None = None) -> list[Registered]:
        """All components, or those of one kind, sorted by kind and name."""
        return [self._components[k] for k in sorted(self._components) if kind in (None, k[0])]

    def failure_note(self) -> str:
        """Plugins that failed to load, for the end of an error message; empty where none did."""
        if not self.failures:
            return ""
        failed = "; ".join(f"{f.plugin} ({f.distribution}): {f.error}" for f in self.failures)
        return f" Plugins that failed to load: {failed}"


def _clash(key: tuple[str, str], claims: Iterable[Registered]) -> str:
    who = " and by ".join(f"plugin {one.plugin!r} of {one.distribution}" for one in claims)
    return (
        f"{key[0]} {key[1]!r} is declared by {who}. Uninstall one of them or ask its authors for "
        "another name."
    )


@functools.cache
def installed() -> Registry:
    """The registry of this environment, built once."""
    components, failures = load_plugins()
    return Registry(components, failures=failures)
