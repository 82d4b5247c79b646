"""A training step with a fixed batch, in each of the forms that are compared."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from internals import Batch, SparseVolume, noise_batch, ways
from settings import Settings, spec_of
from torch import Tensor


class Step:
    """One form of a model.

    Args:
        name: of a network.
        form: `visible` as the library chooses, `visible halo`, `visible fused`; `zeroed` (dense),
            `zeroed cl` (channels-last weights and input).
        settings: device and hidden share.
        bf16: under autocast.
        static: the tables of the cells are made once: what fixed shapes allow.

    Attributes:
        made: the batch as a loader makes it, on the CPU.
        batch: the same on the device.
    """

    def __init__(
        self, name: str, form: str, settings: Settings, *, bf16: bool = True, static: bool = False
    ) -> None:
        self.form, self.bf16, self.static = form, bf16, static
        self.device = torch.device(settings.device)
        hidden = 0.5 if name.startswith("tiny") else settings.hidden
        spec = spec_of(name, form=form, hidden=hidden)
        self.model = spec.build().to(self.device)
        if form.endswith(" cl"):
            self.model = self.model.to(memory_format=torch.channels_last_3d)
        # A static step can be captured; the others take the optimiser as the library makes it.
        more = {"fused": True, "capturable": True} if static and settings.cuda else {}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, **more)
        samples, patch = spec.data.batch_size, spec.data.patch
        self.made = noise_batch(self.model, spec=spec, samples=samples, patch=patch)
        self.batch = self.made.to(self.device)

    def given(self) -> Batch:
        """What a step is given: moved once more, its cells are without any table."""
        return self.batch if self.static else self.batch.to(self.device)

    def autocast(self) -> Any:
        """bfloat16 where the step has it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def loss(self) -> Tensor:
        """Forward; the total loss."""
        return self.loss_of(self.given())

    def loss_of(self, batch: Batch) -> Tensor:
        """Forward of this batch; the total loss."""
        with ways(self.form), self.autocast():
            return self.model.step(batch, generator=torch.Generator().manual_seed(0)).loss

    def whole(self) -> None:
        """Forward, backward, optimiser."""
        self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def encoder(self) -> None:
        """Forward and backward of the encoder alone."""
        (views,) = self.given().views
        with ways(self.form), self.autocast():
            stages = self.model.encode(views.volume, cells=views.cells)
        tensors = [s.features if isinstance(s, SparseVolume) else s for s in stages]
        torch.autograd.backward(tensors, [torch.ones_like(t) for t in tensors])
        self.model.zero_grad(set_to_none=True)


def captured(step: Step) -> Callable[[], None]:
    """Forward, backward and optimiser as one CUDA graph; the step must be static."""
    assert step.static
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step.whole()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    step.optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        step.loss().backward()
        step.optimizer.step()
    return graph.replay


def compiled(step: Step) -> Callable[[], None]:
    """The encoder through `torch.compile`, the rest as it is; the step must be static.

    `COMPILE_BACKEND` names another backend than inductor, for a dry run without a compiler.
    """
    assert step.static
    step.whole()  # makes the tables, which are not timed
    backend = os.environ.get("COMPILE_BACKEND", "inductor")
    step.model.backbone.compile(dynamic=False, backend=backend)
    return step.whole
