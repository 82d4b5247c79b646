"""The kernels of the fused way as Triton's interpreter runs them, without a GPU."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
import triton
from torch import Tensor

from ssl3d.geometry import Operation
from ssl3d_plugins.sparse_cells import backend, fused
from ssl3d_plugins.sparse_cells.across import FUSED, HALO, Way
from ssl3d_plugins.sparse_cells.choice import edge_of
from ssl3d_plugins.sparse_cells.fused import conv
from ssl3d_plugins.sparse_cells.fused.blocks import Blocks


def interpreted_kernels() -> ModuleType:
    """A copy of their module: what is compiled stays as it is in this process."""
    name = f"{fused.__name__}.kernels"
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with triton.knobs.runtime.scope():
        triton.knobs.runtime.interpret = True
        spec.loader.exec_module(module)
    return module


def interpret(patch: pytest.MonkeyPatch) -> None:
    """Take the fused way wherever it computes the operation, interpreted.

    In few large programs: each operation of each costs the interpreter the same.
    """
    patch.setattr(fused, "kernels", interpreted_kernels(), raising=False)
    for blocks in ("gather_blocks", "correlate_blocks"):
        patch.setattr(conv, blocks, lambda **_: Blocks(256, 32, 128, 4, 3))
    patch.setattr(backend, "choose", fused_where_it_fits)


def fused_where_it_fits(op: Operation, *, features: Tensor, **_: object) -> Way:
    """What CUDA chooses."""
    fits = conv.fits(op, edge=edge_of(features), dtype=features.dtype)
    return FUSED if fits else HALO
