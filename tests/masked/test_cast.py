"""Weights that are cast at once give the bits that autocast gives."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ssl3d.masked import cast
from ssl3d.masked.cast import cast_at_once


class Casts(TorchDispatchMode):
    """Counts casts by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def network() -> nn.Module:
    torch.manual_seed(0)
    parts = nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)
    return nn.Sequential(*parts)


def test_outputs_and_gradients_are_the_same_bits() -> None:
    results = []
    for call in (lambda model, x: model(x), cast_at_once):
        model = network()
        x = torch.randn(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
        with torch.autocast("cpu", torch.bfloat16), Casts() as casts:
            out = call(model, x)
        out.float().square().sum().backward()
        results.append([out, *(one.grad for one in model.parameters())])
    assert casts.names["_foreach_copy_"] == 1
    assert casts.names["_to_copy"] == 1  # the volume
    for a, b in zip(*results, strict=True):
        assert a is not None
        assert b is not None
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


def test_nothing_is_cast_without_autocast_or_with_other_ranks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x = network(), torch.randn(2, 1, 4, 4, 4)
    with Casts() as casts:
        assert cast_at_once(model, x).dtype == torch.float32
    monkeypatch.setattr(cast, "world_size", lambda: 2)
    with torch.autocast("cpu", torch.bfloat16), Casts() as more:
        assert cast_at_once(model, x).dtype == torch.bfloat16
    assert not casts.names["_foreach_copy_"] + more.names["_foreach_copy_"]
