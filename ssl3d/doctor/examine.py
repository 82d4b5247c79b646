"""Look at everything that is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from ssl3d.doctor.apart import Part, examine_apart
from ssl3d.doctor.backbones import backbone_checks
from ssl3d.doctor.check import Check, perform
from ssl3d.doctor.components import REPORT, advice_for
from ssl3d.doctor.machine import CUDA, machine_checks
from ssl3d.doctor.machine import PART as TORCH
from ssl3d.doctor.maskers import masker_checks
from ssl3d.doctor.plugins import look_at_plugins, plugin_checks
from ssl3d.doctor.result import Report, Result
from ssl3d.doctor.sparse_backends import sparse_checks
from ssl3d.doctor.steps import PART as STEPS
from ssl3d.doctor.steps import no_step, step_checks
from ssl3d.doctor.versions import version_checks
from ssl3d.doctor.views import views_checks
from ssl3d.plugin.declared import Registered
from ssl3d.plugin.find import load_checks
from ssl3d.plugin.registry import installed

LIMIT = 600.0
"""Seconds for each sparse backend on each device, and for everything else that needs torch."""


def examine(
    *,
    strict: bool = False,
    backends: Sequence[str] = (),
    devices: Sequence[str] = (),
    limit: float = LIMIT,
    on_part: Callable[[str], None] = lambda _: None,
) -> Report:
    """Perform every check.

    Args:
        strict: sparse backends with a library of their own are tried as well, and must work.
        backends: sparse backends to try, which must be there; default: every installed one.
        devices: `cpu` and `cuda`, to try them on, which must be there; default: those that are.
        limit: seconds for each sparse backend on each device.
        on_part: is told what is looked at next.

    Raises:
        UnknownComponentError: no plugin declares a backend of this name.
        DuplicateComponentError: two plugins do.
    """
    plugins, registry = look_at_plugins()
    for name in backends:
        registry.entry("sparse_backend", name=name)
    on_part("versions")
    results = [perform(check) for check in version_checks()] + plugins
    on_part("torch, plugins, maskers, views, backbones")
    base = Part(TORCH, partial(base_checks, need_cuda="cuda" in devices))
    results += examine_apart(base, limit=limit)
    results += _steps(_available(results), asked=devices, limit=limit, on_part=on_part)
    repairs = {check.plugin: check.advice for check in reversed(load_checks()[0])}
    entries = registry.entries("sparse_backend")
    optional = [e.config.component_name() for e in entries if e.plugin in repairs]
    required = list(dict.fromkeys([*backends, *(optional if strict else ())]))
    others = () if backends else registry.names("sparse_backend")
    available = _available(results)
    for name in dict.fromkeys([*others, *required]):
        entry = registry.entry("sparse_backend", name=name)
        for device in devices or available:
            if device in available:
                part = f"sparse backend {name}"
                on_part(f"{part} on {device}")
                checks = partial(
                    sparse_checks,
                    name,
                    device=device,
                    required=name in required,
                    advice=_advice(entry, repairs.get(entry.plugin)),
                )
                results += examine_apart(Part(part, checks), limit=limit)
    return Report(tuple(results))


def base_checks(*, need_cuda: bool) -> Iterator[Check]:
    """Everything that needs torch and no sparse library; nothing else where torch is broken."""
    yield from machine_checks(need_cuda=need_cuda)
    yield from plugin_checks()
    yield from masker_checks(installed())
    yield from views_checks(installed())
    yield from backbone_checks(installed())


def _steps(
    available: Sequence[str],
    *,
    asked: Sequence[str],
    limit: float,
    on_part: Callable[[str], None],
) -> list[Result]:
    """Training steps on a GPU, where there is one and it is not left out."""
    if not available or (asked and "cuda" not in asked):
        return []
    if "cuda" not in available:
        return [perform(Check(STEPS, "cuda", no_step, "", device="cuda"))]
    on_part(f"{STEPS} on cuda")
    return examine_apart(Part(STEPS, partial(step_checks, device="cuda")), limit=limit)


def _available(results: Iterable[Result]) -> tuple[str, ...]:
    """Devices that torch reaches; none where torch itself does not work."""
    working = [r.check for r in results if r.part == TORCH and r.status == "ok"]
    if not working:
        return ()
    return ("cpu", "cuda") if CUDA in working else ("cpu",)


def _advice(entry: Registered, repair: str | None) -> str:
    """What to do about a sparse backend; `repair` installs its library again."""
    advice = advice_for(entry)
    if repair is not None:
        advice = f"install its library again: {repair}; if that does not help, {REPORT}"
    return f"use another sparse backend until this works; {advice}"
