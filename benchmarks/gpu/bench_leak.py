"""On the device: hidden voxels change no bit, a step repeats its bits, bfloat16 is near float32."""

from __future__ import annotations

from typing import Any

import torch
from settings import Settings
from step import Step
from timing import clear
from torch import Tensor


def run(settings: Settings) -> dict[str, Any]:
    """Small and, on a GPU, large networks."""
    names = ["tiny_wave", "tiny_res"] + ([] if settings.tiny else ["wave96b2", "resM128b2"])
    found: dict[str, Any] = {}
    for name in names:
        single: Tensor | None = None
        for bf16 in (False, True):
            step = Step(name, "visible", settings, bf16=bf16)
            outs = results(step)
            row: dict[str, Any] = {
                "no leak": all(same(outs[0], other) for other in outs[1:]),
                "finite": all(bool(t.isfinite().all()) for t in outs[0]),
                "gradients repeat": same(gradients(step), gradients(step)),
            }
            prediction = outs[0][0].float()
            if single is not None:
                row["off float32"] = float((prediction - single).norm() / single.norm())
            single = prediction
            found[f"{name} {'bf16' if bf16 else 'fp32'}"] = row
            print(name, "bf16" if bf16 else "fp32", row, flush=True)
            settings.save("leak", found)
            del step, outs
            clear(settings)
    wrong = [key for key, row in found.items() if not (row["no leak"] and row["finite"])]
    print("LEAK OR NOT FINITE:" if wrong else "no leak", *wrong)
    return found


def results(step: Step) -> list[list[Tensor]]:
    """Prediction and features as it is, and with noise, NaN and infinity in hidden voxels."""
    step.model.eval()
    (views,) = step.batch.views
    hidden = views.hidden.voxels(step.model.cell)[0][:, None]
    noise = 100 * torch.randn_like(views.volume)
    bad = torch.where(noise > 0, torch.inf, torch.nan)
    outs = []
    with torch.no_grad(), step.autocast():
        for fill in (views.volume, noise, bad):
            out = step.model(torch.where(hidden, fill, views.volume), hidden=views.hidden)
            outs.append([out.prediction, *(stage.features for stage in out.stages)])
    return outs


def gradients(step: Step) -> list[Tensor]:
    """Of all parameters."""
    step.model.train()
    step.loss().backward()
    found = [p.grad.clone() for p in step.model.parameters() if p.grad is not None]
    step.model.zero_grad(set_to_none=True)
    return found


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    """True where all bits agree."""
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
