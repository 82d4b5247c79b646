"""What parts of a module keep on the host: counters, own generators, which tensors they hold."""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, tuple[Any, ...]]


def host_state(module: nn.Module) -> State:
    """Of each part below a module, by `part.attribute`; the module itself is left out.

    Of tensors it is which they are and where they lie, for a step may change what they hold.
    """
    return {
        f"{name}.{attribute}": _of(value)
        for name, part in module.named_modules()
        if part is not module
        for attribute, value in vars(part).items()
        if attribute != "_modules"
    }


def _of(value: Any) -> tuple[Any, ...]:
    held: list[Any] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, one: Any) -> int | None:
            if isinstance(one, Tensor):
                # Of one on device meta, or without memory, only which it is.
                held.append((id(one), one.data_ptr() if one.device.type != "meta" else 0))
            elif isinstance(one, nn.Module):
                held.append(id(one))
            elif isinstance(one, torch.Generator):
                held.append((id(one), bytes(one.get_state().tolist())))
            else:
                return None
            return len(held)

    written = io.BytesIO()
    try:
        Pickler(written).dump(value)
    except Exception:  # whatever cannot be written, such as a function or a lock: which it is
        return (id(value),)
    return (written.getvalue(), *held)
