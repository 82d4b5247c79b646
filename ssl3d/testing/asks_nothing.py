"""What asks a device for nothing, tried without one: on device meta, which holds no values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

FROM_HOST = ((torch, "tensor"), (torch, "as_tensor"), (torch, "asarray"), (Tensor, "new_tensor"))
"""What makes tensors of host data; torch dispatches none of it."""

COPIES = ("_to_copy", "copy_", "copy")
INDEXED = ("index", "index_put", "index_put_")


@contextlib.contextmanager
def asks_nothing() -> Iterator[None]:
    """What runs inside, backward passes included, may ask device meta for nothing.

    A program waits for its device where it reads a value back, and where a shape depends on
    values: meta, which has none, refuses both. This refuses what is left: data of the host that
    comes to the device, and boolean indices. Numbers go as numbers (`new_full`, `arange`, a CPU
    tensor without axes in arithmetic); constants are buffers of a module.

    Move module and inputs there before (`CellGrid.to`):

        with asks_nothing():
            module(inputs).sum().backward()

    Raises:
        AssertionError: host data came to the device, or an index was boolean there.
        RuntimeError: a value, or a shape that depends on one, was asked for (torch's own).
    """
    with contextlib.ExitStack() as stack:
        for owner, name in FROM_HOST:
            stack.enter_context(mock.patch.object(owner, name, _watched(owner, name)))
        stack.enter_context(_Refuse())  # type: ignore[no-untyped-call]
        yield


class _Refuse(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses operations that bring host data to meta, or index there with booleans."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = list(_tensors((args, kwargs)))
        result = func(*args, **(kwargs or {}))
        if not _on_meta(_tensors(result)):
            return result
        name = func.overloadpacket.__name__
        host = [t for t in given if t.device.type == "cpu" and (t.dim() or name in COPIES)]
        assert not host, f"{func}: host data of shape {tuple(host[0].shape)} came to the device"
        if name in INDEXED:
            for index in _tensors(args[1]):
                assert index.dtype != torch.bool, f"{func}: a boolean index; take torch.where"
        return result


def _watched(owner: Any, name: str) -> Any:
    original = getattr(owner, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        data = (args[1:] if owner is Tensor else args, kwargs)
        assert not _on_meta([result]) or _on_meta(_tensors(data)), (
            f"{name}: host data came to the device"
        )
        return result

    return watched


def _tensors(tree: Any) -> Iterable[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _on_meta(tensors: Iterable[Tensor]) -> bool:
    return any(tensor.device.type == "meta" for tensor in tensors)
