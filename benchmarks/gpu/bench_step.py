"""Time, memory and kernels of a training step, form by form."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from settings import NETWORKS, Settings
from step import Step, captured, compiled
from timing import clear, kernels, peak, pipelined, timed

Make = Callable[[Step], Callable[[], None]]


def run(names: list[str], settings: Settings) -> dict[str, Any]:
    """Every network in every form; one that fails is noted and the next goes on."""
    found: dict[str, Any] = {}
    for name in names:
        row = found[name] = {}
        for label, (form, static, make) in forms(name, settings).items():
            try:
                row[label] = measure(name, form, settings, static=static, make=make)
            except Exception as error:
                row[label] = {"error": f"{type(error).__name__}: {error}"[:600]}
            clear(settings)
            settings.save(
                "_".join(["step", *(["compile"] if settings.compile else []), *names]), found
            )
        show(name, row)
    return found


def forms(name: str, settings: Settings) -> dict[str, tuple[str, bool, Make | None]]:
    """Label to form, whether it is static, and what is made of the step."""
    convolutions = NETWORKS[name].backbone["name"] == "resunet"
    # On a CPU as a GPU chooses where Triton is missing.
    best = "visible halo" if convolutions and not settings.cuda else "visible"
    if settings.compile:
        return {
            "zeroed cl": ("zeroed cl", False, None),
            "visible static": (best, True, None),
            "visible static, compile": (best, True, compiled),
            "zeroed cl static, compile": ("zeroed cl", True, compiled),
        }
    plain = ["visible", "zeroed", "zeroed cl"]
    if convolutions and settings.cuda:
        plain += ["visible halo", "visible fused"]
    found: dict[str, tuple[str, bool, Make | None]] = {form: (form, False, None) for form in plain}
    found["visible static"] = (best, True, None)
    if settings.cuda:
        found["visible static, graph"] = (best, True, captured)
        found["zeroed static, graph"] = ("zeroed", True, captured)
        found["zeroed cl static, graph"] = ("zeroed cl", True, captured)
        if convolutions:
            found["visible halo static, graph"] = ("visible halo", True, captured)
    return found


def measure(
    name: str, form: str, settings: Settings, *, static: bool, make: Make | None
) -> dict[str, Any]:
    """Everything of one form."""
    start = time.perf_counter()
    step = Step(name, form, settings, static=static)
    parameters = sum(p.numel() for p in step.model.parameters())
    whole = make(step) if make else step.whole
    whole()  # sets up the optimiser and the libraries' handles
    result: dict[str, Any] = {"cells": step.batch.views[0].cells.n, "parameters": parameters}
    # A replay allocates nothing.
    result["peak MiB"] = float("nan") if make is captured else peak(whole, settings)
    runs = {"whole": whole} if make else {"whole": whole, "encoder": step.encoder}
    result |= timed(runs, settings)
    result["pipelined ms"] = pipelined(whole, settings, steps=max(3, settings.rounds))
    if make is None and not static:
        result["profile"] = kernels(whole, settings)
    result["took s"] = time.perf_counter() - start
    return result


def show(name: str, row: dict[str, Any]) -> None:
    """A line for each form; shares are of the best dense one."""
    dense = [
        r["pipelined ms"] for f, r in row.items() if f.startswith("zeroed") and "error" not in r
    ]
    memory = [
        r["peak MiB"] for f, r in row.items() if f in ("zeroed", "zeroed cl") and "peak MiB" in r
    ]
    for form, r in row.items():
        if "error" in r:
            print(f"{name:11} {form:24} {r['error'][:140]}")
            continue
        nan = float("nan")
        profile, encoder = r.get("profile") or {}, r.get("encoder", {}).get("ms", nan)
        share = r["pipelined ms"] / min(dense, default=nan)
        held = r["peak MiB"] / (min(memory, default=nan) or nan)
        print(
            f"{name:11} {form:24} step {r['pipelined ms']:8.2f} ms ({share:4.2f} of best dense), "
            f"alone {r['whole']['wall ms']:8.2f}, encoder {encoder:8.2f}, peak "
            f"{r['peak MiB']:8.0f} MiB ({held:4.2f}), kernels {profile.get('kernels', 0):5}, "
            f"busy {profile.get('busy ms', 0):7.2f}",
            flush=True,
        )
