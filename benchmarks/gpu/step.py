"""A training step with a fixed batch, in each of the forms that are compared."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from internals import CellGrid, HiddenLevels, SparseVolume, kept_grid, sum_out_of_place, ways
from settings import NETWORKS, Settings, spec_of
from torch import Tensor


class Step:
    """One form of a model.

    Args:
        name: of a network.
        form: `visible` as the library chooses, `visible halo`; `zeroed` (dense),
            `zeroed cl` (channels-last weights and input).
        settings: device and hidden share.
        bf16: under autocast.
        static: the cells and their tables are made once, and nothing of a step looks at them on the
            host: what fixed shapes allow.
    """

    def __init__(
        self, name: str, form: str, settings: Settings, *, bf16: bool = True, static: bool = False
    ) -> None:
        self.form, self.bf16, self.static = form, bf16, static
        self.device = torch.device(settings.device)
        hidden = 0.5 if name.startswith("tiny") else settings.hidden
        self.model = spec_of(name, form=form, hidden=hidden).build().to(self.device)
        if form.endswith(" cl"):
            self.model = self.model.to(memory_format=torch.channels_last_3d)
        # A static step can be captured; the others take the optimiser as the library makes it.
        more = {"fused": True, "capturable": True} if static and settings.cuda else {}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, **more)
        generator = torch.Generator().manual_seed(0)
        _, patch, batch = NETWORKS[name]
        self.volume = torch.rand((batch, 1, patch, patch, patch), generator=generator)
        self.volume = self.volume.to(self.device)
        grid = tuple(patch // c for c in self.model.cell)
        levels = self.model.draw(grid, batch_size=batch, generator=generator)
        self.hidden = HiddenLevels(tuple(level.to(self.device) for level in levels.levels))
        self.cells = self.new_grid()
        self.places = self.hidden.levels[0].flatten().nonzero().flatten()

    def new_grid(self) -> CellGrid:
        """The grid of a new batch, without any table."""
        return CellGrid(~self.hidden.levels[0], cell=self.model.cell)

    def autocast(self) -> Any:
        """bfloat16 where the step has it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        """The ways of this form, and its grid where that is static."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(ways(self.form))
            if self.static:
                stack.enter_context(kept_grid(self.cells, places=self.places))
            yield

    def loss(self) -> Tensor:
        """Forward; the total loss."""
        with self.patched(), self.autocast():
            return self.model(self.volume, hidden=self.hidden).loss

    def whole(self) -> None:
        """Forward, backward, optimiser."""
        self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def encoder(self) -> None:
        """Forward and backward of the encoder alone."""
        cells = self.cells if self.static else self.new_grid()
        with self.patched(), self.autocast():
            stages = self.model.encode(self.volume, cells=cells)
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
    sum_out_of_place(step.model.backbone)
    step.whole()  # makes the tables: made inside, they would break the graph
    backend = os.environ.get("COMPILE_BACKEND", "inductor")
    step.model.backbone = torch.compile(step.model.backbone, dynamic=False, backend=backend)
    return step.whole
