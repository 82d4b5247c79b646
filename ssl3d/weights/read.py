"""Read tensors from a file, without running anything that it contains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

WRAPPERS = ("network_weights", "state_dict", "model_state_dict", "model")
"""Where checkpoints keep their tensors: nnU-Net, Lightning, MONAI's and other trainers."""
PARALLEL = "module."
"""What torch's wrappers for several devices put before every name."""

NUMPY_HOMES = ("numpy.core.multiarray", "numpy._core.multiarray")


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a `.safetensors` file or of a PyTorch checkpoint, on the CPU.

    Raises:
        ValueError: there is no such file, it cannot be read, or it holds no tensors.
    """
    return named_tensors(read_content(path), path=path)


def read_content(path: str | Path) -> Any:
    """What a `.safetensors` file or a PyTorch checkpoint holds, on the CPU.

    Raises:
        ValueError: there is no such file, or it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        return _read(path)
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(
            f"{path}: cannot be read as weights ({type(error).__name__}). It is damaged, or holds "
            "more than tensors and plain values, which is not loaded since it can run code. Give "
            "a .safetensors file, or a checkpoint of tensors and plain values"
        ) from error


def named_tensors(content: Any, *, path: str | Path) -> dict[str, Tensor]:
    """The named tensors in what `path` holds; raises ValueError where there are none."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    found = content.items() if isinstance(content, Mapping) else ()
    weights = {name: value for name, value in found if isinstance(value, Tensor)}
    if not weights:
        raise ValueError(f"{path}: holds no named tensors, neither itself nor under {WRAPPERS}")
    if all(name.startswith(PARALLEL) for name in weights):
        weights = {name.removeprefix(PARALLEL): value for name, value in weights.items()}
    return weights


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    with _numpy_scalars():
        return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def _numpy_scalars() -> Iterator[None]:
    """Let a checkpoint hold NumPy numbers, as nnU-Net's training log does: they are plain data."""
    before = get_safe_globals()
    dtypes = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.bool_)]
    add_safe_globals([*map(_scalar_of, NUMPY_HOMES), np.dtype, *dtypes])
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(before)


def _scalar_of(home: str) -> Callable[[np.dtype[Any], bytes], Any]:
    """NumPy's scalar constructor under the name that a version of NumPy saved it by."""

    def scalar(dtype: np.dtype[Any], data: bytes) -> Any:
        return np.frombuffer(data, dtype)[0]

    scalar.__module__, scalar.__qualname__ = home, "scalar"
    return scalar
