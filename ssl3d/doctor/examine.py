"""Look at everything that is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ssl3d.doctor.apart import examine_apart
from ssl3d.doctor.check import perform
from ssl3d.doctor.components import REPORT, advice_for
from ssl3d.doctor.machine import CUDA
from ssl3d.doctor.machine import PART as TORCH
from ssl3d.doctor.parts import Part
from ssl3d.doctor.plugins import look_at_plugins
from ssl3d.doctor.result import Report, Result
from ssl3d.doctor.versions import version_checks
from ssl3d.plugin.registry import Registry

OPTIONAL = {
    "minkowski": "ssl3d install minkowski --force",
    "spconv": 'python -m pip install --force-reinstall --no-deps "spconv-cu121" (or -cu126, for '
    "CUDA 12.6 to 12.9)",
}
"""Sparse backends whose library is optional, and what installs that again."""

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
        strict: the optional sparse backends are tried as well, and must be there and work.
        backends: sparse backends to try, which must be there; default: every installed one.
        devices: `cpu` and `cuda`, to try them on, which must be there; default: those that are.
        limit: seconds for each sparse backend on each device.
        on_part: is told what is looked at next.

    Raises:
        UnknownComponentError: no plugin declares a backend of this name.
    """
    plugins, registry = look_at_plugins()
    for name in backends:
        registry.entry("sparse_backend", name=name)
    on_part("versions")
    results = [perform(check) for check in version_checks()] + plugins
    on_part("torch, wavelets, maskers, backbones")
    base = Part("torch", TORCH, {"need_cuda": "cuda" in devices})
    results += examine_apart(base, limit=limit)
    required = list(dict.fromkeys([*backends, *(OPTIONAL if strict else ())]))
    others = () if backends else registry.names("sparse_backend")
    available = _available(results)
    for name in dict.fromkeys([*others, *required]):
        for device in devices or available:
            if device in available:
                on_part(f"sparse backend {name} on {device}")
                results += _backend(
                    registry, name, device=device, required=name in required, limit=limit
                )
    return Report(tuple(results))


def _available(results: Iterable[Result]) -> tuple[str, ...]:
    """Devices that torch reaches; none where torch itself does not work."""
    working = [r.check for r in results if r.part == TORCH and r.status == "ok"]
    if not working:
        return ()
    return ("cpu", "cuda") if CUDA in working else ("cpu",)


def _backend(
    registry: Registry, name: str, *, device: str, required: bool, limit: float
) -> list[Result]:
    part = f"sparse backend {name}"
    if name not in registry.names("sparse_backend"):
        advice = f"install the plugin that declares it, then run: {OPTIONAL[name]}"
        detail = "no plugin declares it"
        return [Result(part, "library", "not there", 0.0, detail, advice, device, required)]
    advice = advice_for(registry.entry("sparse_backend", name=name))
    if name in OPTIONAL:
        advice = f"install its library again: {OPTIONAL[name]}; if that does not help, {REPORT}"
    advice = f"use another sparse backend until this works; {advice}"
    arguments = {"name": name, "device": device, "required": required, "advice": advice}
    return examine_apart(Part("sparse_backend", part, arguments), limit=limit)
