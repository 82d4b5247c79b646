"""A training step of every installed backbone on a GPU, in single and half precision, compiled."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from ssl3d.doctor.check import Check, NotThere, Wrong
from ssl3d.doctor.components import advice_for, default_config
from ssl3d.geometry import Triple, times
from ssl3d.plugin.declared import Registered
from ssl3d.plugin.registry import installed

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ssl3d.kinds.batch import Batch
    from ssl3d.masked.model import PretrainModel

PART = "training step"
GRID: Triple = (2, 2, 2)
"""Of cells: small, for backbones may have large ones."""

TOLERANCES = {"32": 1e-3, "bf16": 5e-2}
"""How far the loss may be from that on a CPU in single precision, as a share of it."""


def step_checks(*, device: str) -> Iterator[Check]:
    """Each backbone with its default options in both precisions, then one of them compiled."""
    entries = installed().entries("backbone")
    for entry in entries:
        for precision in TOLERANCES:
            title = f"{entry.config.component_name()} in {precision}"
            run = partial(step, entry, device=device, precision=precision)
            yield Check(PART, title, run, advice_for(entry), device=device)
    advice = "train without trainer.compile, or mend what torch.compile needs: a C++ compiler"
    for entry in [one for one in entries if _has_defaults(one)][:1]:
        title = f"{entry.config.component_name()} compiled"
        run = partial(step, entry, device=device, precision="32", compiled=True)
        yield Check(PART, title, run, advice, device=device)


def no_step() -> str:
    """What is said where there is nothing to try it on."""
    raise NotThere("not tried: there is no CUDA device", advice="run it on a machine with a GPU")


def step(entry: Registered, *, device: str, precision: str, compiled: bool = False) -> str:
    """Forward, backward and the optimiser's step; the loss is that of a CPU to rounding."""
    import torch

    from ssl3d.run.optimizer import optimizer_of, parameter_groups
    from ssl3d.tasks.pretrain.spec import ExperimentSpec
    from ssl3d.tasks.pretrain.step_time import noise_batch

    config = default_config(entry)
    patch = times(GRID, config.total_stride)
    spec = ExperimentSpec(backbone=config, data={"volumes": "none", "patch": patch})
    model = spec.build().train()
    batch = noise_batch(model, spec=spec, samples=2, patch=patch)
    with torch.no_grad():
        expected = float(_loss(model, batch, "cpu", precision="32"))
    model = model.to(device)
    if compiled:
        model.backbone.compile()
    rule = optimizer_of(
        spec.optimizer, groups=parameter_groups(model), fused=device.startswith("cuda")
    )
    loss = _loss(model, batch, device, precision=precision)
    torch.autograd.backward(loss)
    bad = [name for name, p in model.named_parameters() if not _finite(p)]
    if bad:
        raise Wrong(f"no finite gradient: {', '.join(bad[:3])} and {len(bad[3:])} more")
    rule.step()
    found, tolerance = float(loss.detach()), TOLERANCES[precision]
    if not abs(found - expected) <= tolerance * abs(expected):
        raise Wrong(f"the loss is {found:.6g}, on a CPU {expected:.6g}")
    return f"loss {found:.4g}, {abs(found - expected) / abs(expected):.0e} off that on a CPU"


def _loss(model: PretrainModel, batch: Batch, device: str, *, precision: str) -> torch.Tensor:
    import torch

    from ssl3d.run.precision import autocast, tf32

    where = torch.device(device)
    with autocast(precision, device=where), tf32(False, device=where):
        random = torch.Generator().manual_seed(0)
        return model.step(batch.to(where), generator=random).loss


def _finite(parameter: nn.Parameter) -> bool:
    return parameter.grad is not None and bool(parameter.grad.isfinite().all())


def _has_defaults(entry: Registered) -> bool:
    return not any(field.is_required() for field in entry.config.model_fields.values())
