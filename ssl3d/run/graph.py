"""Forward and backward as one CUDA graph, which is launched as a whole.

Launching a step's operations one by one takes a host longer than many a step takes a GPU:
docs/gpu.md has the figures.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from ssl3d.run.cuda_capture import Capture, Outputs, on_cuda
from ssl3d.run.gate import Buffers
from ssl3d.run.layout import Layout, laid_out
from ssl3d.run.run_error import RunError
from ssl3d.run.search import not_searching
from ssl3d.run.task import Batch
from ssl3d.run.trainer_spec import TrainerSpec


class GraphedStep:
    """Forward and backward of a micro-batch, captured once; each batch is copied into its memory.

    What the draw decides, tables of cells above all, is computed inside of the graph.

    Args:
        step: forward and backward of a batch; gives the module's answer.
        module: whose gradients and statistics these are.
        always: True: the first batch is captured, and one of another shape is an error. False: the
            first one that is laid out as the one before it is captured, and all others are computed
            without the graph, as are all where a step cannot be captured.
        say: takes a line for the user.
        capture: gives what a run answers, and what runs it again.

    Raises:
        RunError: `always`, and a batch has other shapes, or other numbers on the host, than the
            first one.
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
        self._capture = on_cuda(checked=not always) if capture is None else capture
        self._taken = self._alone = 0
        self._captured: Layout | None = None
        self._before: Layout | None = None
        self._can = True
        self._memory: tuple[Tensor, ...] = ()
        self._gradients: dict[nn.Parameter, Tensor | None] = {}

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """The module's answer, without gradient; gradients lie at the parameters."""
        self._taken += 1
        layout, tensors = laid_out(batch)
        if self._captured is None and self._can and (self._always or layout == self._before):
            self._begin(batch, layout=layout)
        self._before = layout
        if layout != self._captured:
            return self._without(batch)
        for memory, tensor in zip(self._memory, tensors, strict=True):
            memory.copy_(tensor, non_blocking=True)
        self._replay()
        for parameter, gradient in self._gradients.items():
            parameter.grad = gradient
        return {name: value.detach().clone() for name, value in self._outputs.items()}

    def in_words(self) -> str | None:
        """Said at the end, where batches had other shapes than the graph's."""
        if not self._can or self._alone <= 1:
            return None
        return (
            f"{self._alone} of {self._taken} steps were not launched as one CUDA graph: their "
            "batches had padding, lacked channels or showed another number of cells"
        )

    def _without(self, batch: Batch) -> dict[str, Tensor]:
        if self._always:
            raise RunError(
                "trainer.cuda_graph: a batch shows other cells than the first one, in number, or "
                "one of the two has padding or lacks channels: a CUDA graph has one shape. Take "
                "volumes of the patch and more, with all channels, or set it to auto"
            )
        self._alone += 1
        with not_searching():  # each other shape would be tried anew
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
            with torch.random.fork_rng(devices=devices):
                self._outputs, self._replay = self._capture(run)
        except RuntimeError as error:
            if self._always or isinstance(error, torch.OutOfMemoryError):
                raise
            self._can = False
            why = str(error).splitlines()[0]
            self._say(f"trainer.cuda_graph auto: operations are launched one by one, for {why}")
        else:
            self._captured = layout
            self._gradients = {one: one.grad for one in parameters}
        finally:
            never = torch.zeros_like(self._memory[0].flatten()[0], dtype=torch.bool)
            buffers.put_back(unless=never)
        for parameter in parameters:
            parameter.grad = None


def why_not_graphed(trainer: TrainerSpec, *, fabric: Fabric, not_static: str | None) -> str | None:
    """Why steps cannot be CUDA graphs; None where they can.

    Args:
        trainer: how.
        fabric: launched.
        not_static: of the task.
    """
    if fabric.device.type != "cuda":
        return "there is no CUDA here"
    if fabric.world_size > 1:
        return f"{fabric.world_size} ranks train together, and a graph is of one device"
    if trainer.not_graphed:
        return f"{trainer.not_graphed[0]} is {getattr(trainer, trainer.not_graphed[0])}"
    return not_static


def graphed(trainer: TrainerSpec, *, fabric: Fabric, not_static: str | None) -> bool:
    """Whether steps are launched as CUDA graphs; see `why_not_graphed`.

    Raises:
        RunError: they must be, and cannot.
    """
    if trainer.cuda_graph is False:
        return False
    why = why_not_graphed(trainer, fabric=fabric, not_static=not_static)
    if why is not None and trainer.cuda_graph is True:
        raise RunError(f"trainer.cuda_graph: {why}: set it to auto or false")
    return why is None
