"""Forward and backward as one CUDA graph, which is launched as a whole.

Launching a step's operations one by one takes a host longer than many a step takes a GPU:
docs/gpu.md has the figures.
"""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssl3d.run.cuda_capture import Capture, Outputs, on_cuda
from ssl3d.run.gate import Buffers
from ssl3d.run.layout import Layout, laid_out
from ssl3d.run.run_error import RunError
from ssl3d.run.search import searching
from ssl3d.run.task import Batch

OFTEN = 8
"""Batches of one layout after which it is captured, where others go without the graph."""

LOOK = 200
"""Steps after which it is said that most go without."""


class GraphedStep:
    """Forward and backward of a micro-batch, captured once; each batch is copied into its memory.

    What the draw decides, tables of cells above all, is computed inside of the graph.

    Args:
        step: forward and backward of a batch; gives the module's answer.
        module: whose gradients and statistics these are.
        always: True: the first batch is captured, and one of another layout is an error. False: the
            layout that comes `OFTEN` times first is captured, and batches of others are computed
            without the graph, as are all where a step cannot be captured or memory does not do.
        say: takes a line for the user.
        capture: gives what a run answers, and what runs it again.

    Raises:
        RunError: `always`, and a step cannot be captured, or a batch has other shapes, or other
            numbers on the host, than the first one.
    """

    def __init__(
        self,
        step: Callable[[Batch], Outputs],
        *,
        module: nn.Module,
        always: bool,
        say: Callable[[str], None],
        capture: Capture | None = None,
    ) -> None:
        self._step, self._module, self._always, self._say = step, module, always, say
        self._capture = on_cuda(module) if capture is None else capture
        self._taken = self._alone = 0
        self._seen = Counter[int]()
        self._can = True
        self._captured: Layout | None = None
        self._memory: tuple[Tensor, ...] = ()
        self._gradients: dict[nn.Parameter, Tensor | None] = {}
        self._outputs: Outputs = {}
        self._replay: Callable[[], None] | None = None

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """The module's answer, without gradient; gradients lie at the parameters."""
        self._taken += 1
        if self._can:
            try:
                layout, tensors = laid_out(batch)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                self._give_up(f"a batch holds what cannot be compared: {error}")
        if self._can and self._captured is None and self._is_time(layout):
            self._begin(batch, layout=layout)
        if not self._can or layout != self._captured:
            return self._without(batch)
        for memory, tensor in zip(self._memory, tensors, strict=True):
            memory.copy_(tensor, non_blocking=True)
        assert self._replay is not None
        self._replay()
        for parameter, gradient in self._gradients.items():
            parameter.grad = gradient
        return {name: value.clone() for name, value in self._outputs.items()}

    def in_words(self) -> str | None:
        """Said at the end, where batches had other layouts than the graph's."""
        others = self._alone - (OFTEN - 1)
        if not self._can or others <= 0:
            return None
        return (
            f"{self._alone} of {self._taken} steps were not launched as one CUDA graph: their "
            "batches had padding, lacked channels or showed another number of cells. A data.patch "
            "that is in all volumes has one shape"
        )

    def _is_time(self, layout: Layout) -> bool:
        self._seen[hash(layout)] += 1
        return self._always or self._seen[hash(layout)] == OFTEN

    def _without(self, batch: Batch) -> dict[str, Tensor]:
        if self._always:
            raise RunError(
                "trainer.cuda_graph: a batch shows other cells than the first one, in number, or "
                "one of the two has padding or lacks channels: a CUDA graph has one shape. Take "
                "volumes of the patch and more, with all channels, or set it to auto"
            )
        self._alone += 1
        if self._taken == LOOK and 2 * self._alone > LOOK and (said := self.in_words()):
            self._say(said)
        buffers = Buffers(self._module)
        if self._captured is not None:
            buffers.keep()
        try:
            return dict(self._step(batch))
        except torch.OutOfMemoryError:
            if self._captured is None:
                raise
            # The graph holds memory for itself: without it there is more.
            self._give_up("memory is short beside the graph's")
            buffers.put_back(unless=self._never())
            return dict(self._step(batch))

    def _begin(self, batch: Batch, *, layout: Layout) -> None:
        static = copy.deepcopy(batch)
        self._memory = laid_out(static)[1]
        parameters = [one for one in self._module.parameters() if one.requires_grad]

        def run() -> Outputs:
            for parameter in parameters:
                parameter.grad = None
            # The same memory, and none of the tables that were made of what lay there before.
            return self._step(copy.deepcopy(static, {id(one): one for one in self._memory}))

        buffers = Buffers(self._module)
        buffers.keep()
        devices = {one.device for one in parameters if one.is_cuda}
        try:
            # What layers draw in the first step is what they would draw in one that was not first.
            # Shapes stay, so cuDNN may try its kernels.
            with torch.random.fork_rng(devices=devices), searching():
                outputs, self._replay = self._capture(run)
        except RuntimeError as error:
            if isinstance(error, RunError):
                raise
            if self._always and isinstance(error, torch.OutOfMemoryError):
                raise
            self._give_up(str(error).splitlines()[0])
        else:
            self._captured = layout
            self._outputs = {name: value.detach() for name, value in outputs.items()}
            self._gradients = {one: one.grad for one in parameters}
        finally:
            buffers.put_back(unless=self._never())
            for parameter in parameters:
                parameter.grad = None

    def _never(self) -> Tensor:
        device = next(self._module.parameters()).device
        return torch.zeros((), dtype=torch.bool, device=device)

    def _give_up(self, why: str) -> None:
        """Go on without the graph, and without its memory."""
        if self._always:
            raise RunError(f"trainer.cuda_graph: {why}: set it to auto or false")
        self._can, self._captured, self._replay = False, None, None
        self._memory, self._outputs, self._gradients = (), {}, {}
        for parameter in self._module.parameters():
            parameter.grad = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._say(
            f"trainer.cuda_graph auto: operations are launched one by one from here, for {why}"
        )
