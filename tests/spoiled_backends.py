"""Sparse backends with one thing wrong, which doctor and the kit must find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from ssl3d.geometry import Operation
from ssl3d.sparse import CellGrid, SparseBackend, SparseVolume
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d_plugins.sparse_dense.backend import DenseBackend


def config_of(backend: type[SparseBackend], *, without: str = "") -> type[SparseBackendConfig]:
    """The config of a backend, under the name `fake`, that lacks one kind of operation."""

    class Fake(SparseBackendConfig):
        name: Literal["fake"] = "fake"

        def problems(self, op: Operation) -> Iterable[str]:
            return [f"no {without}"] if op.kind == without else op.problems()

        def build(self) -> SparseBackend:
            return backend(self)

    return Fake


class Spoiled(DenseBackend):
    """Dense, with one thing wrong."""

    def conv3d(self, x: SparseVolume, *args: Any, **options: Any) -> SparseVolume:
        return self.spoil(super().conv3d(x, *args, **options), x)

    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:
        raise NotImplementedError


class WrongValues(Spoiled):
    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:  # noqa: ARG002
        return y.map(lambda f: f + 0.01 * f.abs())


class WrongGradients(Spoiled):
    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:  # noqa: ARG002
        return y.map(lambda f: f.detach() * 0.5 + f * 0.5)


class WrongOrder(Spoiled):
    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:  # noqa: ARG002
        return y.map(lambda f: f.flip(0))


class NotFinite(Spoiled):
    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:  # noqa: ARG002
        return y.map(lambda f: f / 0.0)


class NoBias(DenseBackend):
    """Leaves out the bias."""

    def conv3d(
        self, x: SparseVolume, weight: Tensor, bias: Tensor | None = None, **options: Any
    ) -> SparseVolume:
        return super().conv3d(x, weight, None if bias is None else 0 * bias.detach(), **options)


class DetachedBias(DenseBackend):
    """Adds the bias and teaches it nothing."""

    def conv3d(
        self, x: SparseVolume, weight: Tensor, bias: Tensor | None = None, **options: Any
    ) -> SparseVolume:
        return super().conv3d(x, weight, None if bias is None else bias.detach(), **options)


class Detached(Spoiled):
    """Teaches nothing."""

    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:  # noqa: ARG002
        return y.map(Tensor.detach)


class EmptyRaises(Spoiled):
    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:
        if not x.cells.n:
            raise RuntimeError("no sites")
        return y


class EmptyGradient(DenseBackend):
    """Makes a gradient of ones out of no site."""

    def conv3d(self, x: SparseVolume, weight: Tensor, *args: Any, **options: Any) -> SparseVolume:
        y = super().conv3d(x, weight, *args, **options)
        if x.cells.n:
            return y
        weight.register_hook(torch.ones_like)
        return y


class Keeps(Spoiled):
    """Forgets that a sample or a batch may show nothing: keeps the input's size."""

    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:
        return x if not x.cells.n else y


class Noisy(Spoiled):
    """Differs from run to run, in the last digits."""

    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:  # noqa: ARG002
        return y.map(lambda f: f + 1e-12 * torch.rand_like(f))


class SamplesMeet(Spoiled):
    """A sample's place in the batch shows."""

    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:
        return y.map(lambda f: f + 1e-3 * _sample(x))


class SamplesMeetBackwards(Spoiled):
    """A sample's place in the batch shows in gradients alone."""

    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:
        return y.map(lambda f: f + 1e-3 * _sample(x) * (f - f.detach()))


def _sample(x: SparseVolume) -> Tensor:
    return x.cells.cell_coordinates[:, 0].view(-1, 1, 1, 1, 1)


class Coarse(Spoiled):
    """Off by a tenth under autocast."""

    def spoil(self, y: SparseVolume, x: SparseVolume) -> SparseVolume:  # noqa: ARG002
        return y.map(lambda f: 1.1 * f) if torch.is_autocast_enabled("cpu") else y


class Stale(DenseBackend):
    """Keeps a table for the first kernel that it sees, whatever comes after."""

    def conv3d(self, x: SparseVolume, weight: Tensor, *args: Any, **options: Any) -> SparseVolume:
        kept = x.cells.table(_kept)
        kept.append(weight.shape)
        y = super().conv3d(x, weight, *args, **options)
        return y if weight.shape == kept[0] else y.map(torch.neg)


def _kept(cells: CellGrid) -> list[torch.Size]:  # noqa: ARG001
    return []


class FrozenWeight(DenseBackend):
    """Loses half of the gradient where the weight needs none."""

    def conv3d(self, x: SparseVolume, weight: Tensor, *args: Any, **options: Any) -> SparseVolume:
        y = super().conv3d(x, weight, *args, **options)
        return y if weight.requires_grad else y.map(lambda f: f.detach() * 0.5 + f * 0.5)


class AlwaysGradients(DenseBackend):
    """Records a graph even where none is wanted."""

    def conv3d(self, *args: Any, **options: Any) -> SparseVolume:
        with torch.enable_grad():
            return super().conv3d(*args, **options)


class Unchecked(DenseBackend):
    """Gives its input back, whatever is asked."""

    def conv3d(self, x: SparseVolume, *_: Any, **__: Any) -> SparseVolume:
        return x

    max_pool3d = avg_pool3d = interpolate = conv3d  # type: ignore[assignment]


class Contradicts(DenseBackend):
    """Calls itself what its config does not."""

    @property
    def name(self) -> str:
        return "another"
