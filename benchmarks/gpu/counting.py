"""Operations, floating-point operations and bytes of what PyTorch dispatches, on fake tensors."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from internals import DATA_DEPENDENT, CellGrid
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.flop_counter import flop_registry

RATE, BANDWIDTH = 798e12, 3.0e12
"""FLOP and bytes a second, read off one H100 (bfloat16)."""

aten = torch.ops.aten
FREE = {
    aten.empty.memory_format,
    aten.empty_strided.default,
    aten.empty_like.default,
    aten.new_empty.default,
    aten.new_empty_strided.default,
    aten.detach.default,
    aten._unsafe_view.default,
    aten.lift_fresh.default,
}
FILLS = {"zero_", "fill_", "zeros_like", "ones_like", "new_zeros", "zeros", "full", "new_full"}


class Count(TorchDispatchMode):
    """Counts by name of operation; the floor is in seconds, each operation its own kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: collections.Counter[str] = collections.Counter()
        self.flops: collections.Counter[str] = collections.Counter()
        self.bytes: collections.Counter[str] = collections.Counter()
        self.floor: dict[str, float] = collections.defaultdict(float)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket is aten.convolution_backward:
            out = as_cudnn(args[1], out)
        returns = func._schema.returns
        alias = returns[0].alias_info if returns else None
        view = alias is not None and not alias.is_write
        nothing = not tensors(out) and returns  # such as the type of a result
        if view or nothing or func in FREE or not func._schema.name.startswith("aten::"):
            return out
        name = func._schema.name.removeprefix("aten::")
        packet = func._overloadpacket
        work = 0
        if packet is aten.convolution and args[6] and set(args[3]) == {1}:
            work = cropped(args[1], out)
        elif packet in flop_registry:
            work = flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        results = {a.name for a in func._schema.arguments if a.is_out}  # counted as outputs
        given = {key: value for key, value in (kwargs or {}).items() if key not in results}
        moved = bytes_of(name, tensors((args, given)), tensors(out))
        self.operations[name] += 1
        self.flops[name] += work
        self.bytes[name] += moved
        self.floor[name] += max(work / RATE, moved / BANDWIDTH)
        return out

    def total(self) -> dict[str, float]:
        """Sums over all operations."""
        return {
            "ops": sum(self.operations.values()),
            "TFLOP": sum(self.flops.values()) / 1e12,
            "GB": sum(self.bytes.values()) / 1e9,
            "floor ms": 1e3 * sum(self.floor.values()),
        }


def cropped(weight: Tensor, out: Tensor) -> int:
    """FLOPs of a transposed convolution of stride 1, where torch counts what padding leaves out."""
    return 2 * weight.numel() * out[:, :1].numel()


def as_cudnn(given: Tensor, gradients: Any) -> Any:
    """Gradients of a convolution; that of the weight lies in memory as what it was given."""
    last = torch.channels_last_3d
    if gradients[1] is None or not given.is_contiguous(memory_format=last):
        return gradients
    return gradients[0], gradients[1].contiguous(memory_format=last), gradients[2]


def tensors(tree: Any) -> list[Tensor]:
    """The tensors of a nest of arguments."""
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)]


def size(t: Tensor) -> int:
    """Bytes that lie in memory: an axis that is repeated without being stored counts once."""
    n = t.element_size()
    for length, stride in zip(t.shape, t.stride(), strict=True):
        if stride != 0 or length == 0:
            n *= length
    return n


def bytes_of(name: str, inputs: list[Tensor], outputs: list[Tensor]) -> int:
    """Bytes that an operation reads and writes; one that indexes touches what it picks."""
    written = sum(map(size, outputs))
    if name in FILLS:
        return written
    if name == "index_select":
        return 2 * size(outputs[0]) + size(inputs[1])
    if name.startswith("index_fill_"):
        row = inputs[0].shape[-1] * inputs[0].element_size()
        return size(inputs[1]) + inputs[1].numel() * row
    if name.startswith("index_add_"):
        return size(inputs[1]) + 3 * size(inputs[2])
    if name == "index_copy":
        return 2 * size(outputs[0]) + 2 * size(inputs[2])
    if name.startswith("_embedding_bag"):
        return sum(map(size, inputs[:3])) + size(outputs[0])
    return sum(map(size, inputs)) + written


class FakeGrid(CellGrid):
    """Fake for layers; what depends on which cells are visible is made on the real grid."""

    def __init__(self, real: CellGrid, mode: FakeTensorMode) -> None:
        super().__init__(real.visible, cell=real.cell)
        self.visible, self.real, self.mode = mode.from_tensor(real.visible), real, mode
        for name in ("positions", "cell_coordinates", "rows", "neighbours", "counts"):
            with _disable_current_modes():
                value = getattr(real, name)
            self.__dict__[name] = mode.from_tensor(value) if isinstance(value, Tensor) else value

    def table(self, make: Any, *args: Any, **options: Any) -> Any:
        """As the real grid, with fake tensors."""
        if make not in DATA_DEPENDENT:
            return super().table(make, *args, **options)
        with _disable_current_modes():
            made = self.real.table(make, *args, **options)
        return tree_map(lambda t: self.mode.from_tensor(t) if isinstance(t, Tensor) else t, made)


def make_fake(module: nn.Module, mode: FakeTensorMode) -> None:
    """Put fake tensors in the place of parameters and buffers."""
    for one in module.modules():
        for name, parameter in list(one._parameters.items()):
            if parameter is not None:
                one._parameters[name] = nn.Parameter(mode.from_tensor(parameter.detach()))
        for name, buffer in list(one._buffers.items()):
            if buffer is not None:
                one._buffers[name] = mode.from_tensor(buffer)


@contextlib.contextmanager
def single_layer_norm() -> Iterator[None]:
    """Layer norm in float32 under a CPU's autocast, as CUDA's has it."""
    plain = F.layer_norm

    def layer_norm(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return plain(x.float() if torch.is_autocast_enabled("cpu") else x, *args, **kwargs)

    F.layer_norm = layer_norm
    try:
        yield
    finally:
        F.layer_norm = plain
