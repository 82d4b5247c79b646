"""The visible part of a volume: a batch of small dense boxes, and what computes on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from ssl3d.geometry import Triple, product, quotient
from ssl3d.plugin.config import ComponentConfig
from ssl3d.sparse.cells import CellGrid

ONE: Triple = (1, 1, 1)
NONE: Triple = (0, 0, 0)


@dataclass(frozen=True, eq=False)
class SparseVolume:
    """The visible cells of a batch at one stage.

    Attributes:
        features: (N, cd, ch, cw, C), contiguous; c = sites per cell edge at this stage.
        cells: which cells are visible, shared by all stages.
        stride: voxels per site.
        backend: computes what looks past a cell.
    """

    features: Tensor
    cells: CellGrid
    stride: Triple
    backend: SparseBackend

    @classmethod
    def from_dense(
        cls,
        volume: Tensor,
        *,
        cells: CellGrid,
        backend: SparseBackend,
        stride: Triple = (1, 1, 1),
    ) -> SparseVolume:
        """Keep the visible cells of `volume` (B, C, D, H, W); raises ValueError on a wrong size."""
        return cls(cells.gather(volume, stride=stride), cells, stride, backend)

    @property
    def edge(self) -> Triple:
        """Sites per cell, (cd, ch, cw)."""
        return quotient(self.cells.cell, self.stride)

    @property
    def channels(self) -> int:
        """Feature channels, C."""
        return self.features.shape[-1]

    @property
    def sites(self) -> Tensor:
        """(N·c³, C) view, one row a site, in the order of `coordinates`."""
        return self.features.reshape(-1, self.channels)

    @property
    def coordinates(self) -> Tensor:
        """(N·c³, 4) int32: sample, z, y, x of each row of `sites`."""
        return self.cells.coordinates(self.stride)

    @property
    def site_counts(self) -> tuple[int, ...]:
        """Visible sites of each sample."""
        return tuple(n * product(self.edge) for n in self.cells.counts)

    def with_features(self, features: Tensor, *, stride: Triple | None = None) -> SparseVolume:
        """The same cells with other features, at another stage when `stride` is given.

        `features` is (N, cd, ch, cw, C) or its rows (N·c³, C).
        """
        stride = self.stride if stride is None else stride
        edge = quotient(self.cells.cell, stride)
        boxes = features.reshape(self.cells.n, *edge, features.shape[-1])
        return replace(self, features=boxes, stride=stride)

    def to_dense(self, *, fill: Tensor | None = None) -> Tensor:
        """(B, C, D, H, W) with `fill` (C,), zero by default, at hidden sites."""
        return self.cells.scatter(self.features, fill=fill)

    def map(self, function: Callable[[Tensor], Tensor]) -> SparseVolume:
        """Apply an elementwise function (or one over the last axis, channels)."""
        return self.with_features(function(self.features))

    def __add__(self, other: SparseVolume) -> SparseVolume:
        assert other.cells is self.cells, "sum of volumes on different grids"
        assert other.stride == self.stride, "sum of volumes at different stages"
        return self.with_features(self.features + other.features)


FeatureMap = Tensor | SparseVolume
"""A dense (B, C, D, H, W) tensor or the visible part of one."""


class SparseBackend(ABC):
    """Spatial operations on the visible part of a volume.

    One meaning for all: zero-fill the hidden sites, run the dense operation, keep the visible
    cells. Weights are in torch layout, (O, I/groups, kz, ky, kx) and for the transposed
    convolution (I, O/groups, kz, ky, kx), so parameters do not depend on the backend. Biases apply
    at visible sites only; max-pooling counts hidden sites and borders as -inf, average pooling
    divides by the whole kernel. A backend holds no state: tables live on the volume's `CellGrid`.
    """

    def __init__(self, config: ComponentConfig) -> None:
        self.config = config

    @property
    def name(self) -> str:
        """The name that specs use."""
        return self.config.name

    @abstractmethod
    def conv3d(
        self,
        x: SparseVolume,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        stride: Triple = ONE,
        padding: Triple = NONE,
        groups: int = 1,
    ) -> SparseVolume:
        """Convolution; the result's stride is `x.stride · stride`."""

    @abstractmethod
    def conv_transpose3d(
        self,
        x: SparseVolume,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        stride: Triple = ONE,
        padding: Triple = NONE,
        groups: int = 1,
    ) -> SparseVolume:
        """Transposed convolution; the result has `stride` times as many sites per axis.

        For odd kernels with padding (k - 1) / 2 the dense operation's output padding is
        stride - 1, so that cells keep their size.
        """

    @abstractmethod
    def max_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Maximum over visible sites; hidden sites and borders count as -inf."""

    @abstractmethod
    def avg_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Sum over visible sites divided by the number of sites of the kernel."""

    @abstractmethod
    def interpolate(self, x: SparseVolume, *, scale: Triple) -> SparseVolume:
        """Trilinear up-sampling of each cell by itself (align_corners=False)."""
