"""A network as a list of steps, so that it can run on visible cells.

torch.fx follows the network's own `forward`; what it finds must be modules of a closed list and
sums. Anything else may mix sites or fill hidden ones, so it is an error that names it.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.fx.proxy import TraceError

from ssl3d.sparse import SparseVolume
from ssl3d_plugins.monai_encoders.leaves import LEAVES, problem_of

SUMS = (operator.add, operator.iadd, torch.add)


@dataclass(frozen=True)
class Step:
    """One module, or the sum of two values where `module` is None.

    `done` are the values that no later step needs.
    """

    result: str
    module: str | None
    inputs: tuple[str, ...]
    done: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """Steps from the value `volume` to the values `results`."""

    volume: str
    steps: tuple[Step, ...]
    results: tuple[str, ...]

    def run(self, network: nn.Module, volume: SparseVolume) -> tuple[SparseVolume, ...]:
        """The network's outputs for the visible part of a volume."""
        values = {self.volume: volume}
        for step in self.steps:
            given = [values[name] for name in step.inputs]
            if step.module is None:
                values[step.result] = given[0] + given[1]
            else:
                module = network.get_submodule(step.module)
                values[step.result] = LEAVES[type(module)](module, given[0])
            for name in step.done:
                del values[name]
        return tuple(values[name] for name in self.results)


class _Tracer(fx.Tracer):
    """Goes into every module that is not on the list, and stops at torch's own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if type(m) in LEAVES:
            return True
        torch_own = type(m).__module__.startswith("torch.nn")
        if isinstance(m, tuple(LEAVES)) or (torch_own and not isinstance(m, nn.Sequential)):
            raise ValueError(f"{module_qualified_name}: {problem_of(m)}")
        return False


def trace(network: nn.Module) -> Program:
    """Read a network that maps one volume to a tuple of feature maps.

    Raises:
        ValueError: it has a module or a function without a form on visible cells, or decides by
            its values what to compute; names it.
    """
    kind = type(network).__name__
    try:
        graph = _Tracer().trace(network)
        order = {node: i for i, node in enumerate(graph.nodes)}
        found = [_step(node, network, order) for node in graph.nodes]
    except (ValueError, TraceError, TypeError) as error:
        raise ValueError(f"{kind} cannot run on visible cells: {error}") from error
    inputs = [node.name for node in graph.nodes if node.op == "placeholder"]
    returned = graph.output_node().args[0]
    results = returned if isinstance(returned, tuple) else ()
    maps = [node.name for node in results if isinstance(node, fx.Node)]
    if len(inputs) != 1 or not maps or len(maps) != len(results):
        raise ValueError(f"{kind} must map one volume to a tuple of feature maps")
    return Program(inputs[0], tuple(filter(None, found)), tuple(maps))


def _step(node: fx.Node, network: nn.Module, order: dict[fx.Node, int]) -> Step | None:
    """One node as a step; None for the input and the output."""
    if node.op in ("placeholder", "output"):
        return None
    inputs = tuple(argument for argument in node.args if isinstance(argument, fx.Node))
    names = tuple(n.name for n in inputs)
    last_use = {n.name: None for n in inputs if max(n.users, key=order.__getitem__) is node}
    plain = len(inputs) == len(node.args) and not node.kwargs
    if node.op == "call_module":
        reason = problem_of(network.get_submodule(str(node.target)))
        if reason is not None:
            raise ValueError(f"{node.target}: {reason}")
        if plain and len(inputs) == 1:
            return Step(node.name, str(node.target), names, tuple(last_use))
    if node.op == "call_function" and node.target in SUMS and plain and len(inputs) == 2:
        return Step(node.name, None, names, tuple(last_use))
    called = getattr(node.target, "__name__", node.target)
    given = ", ".join([*map(str, node.args), *(f"{k}={v}" for k, v in node.kwargs.items())])
    raise ValueError(
        f"{node.op} {called}({given}) has no form on visible cells; known are sums of two feature "
        "maps and modules of a closed list on one"
    )
