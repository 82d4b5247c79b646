"""A backbone under test: what it gives for the volumes that checks make."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from ssl3d.geometry import Stage, Triple, times
from ssl3d.kinds.backbone import Backbone, Details
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.plugin.registry import installed
from ssl3d.sparse import CellGrid, FeatureMap, SparseBackend, SparseVolume
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.testing.check import largest_error, require

Results = dict[str, Tensor | None]
"""Features, gradients and running statistics by name."""


def sparse_backend(name: str) -> SparseBackend:
    """A backend with its default options."""
    config = installed().config("sparse_backend", name=name)()  # type: ignore[call-arg]
    assert isinstance(config, SparseBackendConfig)
    return config.build()


def randomise(module: nn.Module) -> None:
    """Other values than an initialisation gives: zeros there would hide mistakes."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        scale = tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 0.1
        offset = 1.0 if name.endswith(("running_var", "norm.weight")) else 0.0
        tensor.data.copy_(offset + (noise.abs() if name.endswith("_var") else noise) * scale)


@dataclass(frozen=True)
class BackboneUnderTest:
    """A backbone and what it is tried on.

    Attributes:
        config: the backbone under test.
        in_channels: of the volumes.
        multiples: sizes of cells to try, in total strides; the first only where that is slow.
        tolerance: largest difference between results that must agree, in `dtype`.
        dtype: what it computes in.
        grid: cells of a volume.
        visible: raster index of the visible cells of each sample.
        training: mode of the module.
        gradients: are compared too.
        randomised: with other parameters than an initialisation gives.
        depends_on_grid_size: True where features depend on the size of the grid, as with a table of
            positions that is interpolated to it: then hidden cells cannot be added around it.
        device: where it computes.
    """

    config: BackboneConfig
    in_channels: int = 2
    multiples: tuple[int, ...] = (1, 2)
    tolerance: float = 1e-9
    dtype: torch.dtype = torch.float64
    grid: Triple = (2, 3, 2)
    visible: tuple[tuple[int, ...], ...] = ((0, 3, 4, 7, 11), (1, 6, 8))
    """Unequal counts, some of them neighbours."""
    training: bool = True
    gradients: bool = True
    randomised: bool = True
    depends_on_grid_size: bool = False
    device: str = "cpu"

    @cached_property
    def _first(self) -> Backbone:
        backbone = self.config.build(in_channels=self.in_channels).to(self.dtype)
        if self.randomised:
            randomise(backbone)
        return backbone.train(self.training).to(self.device)

    def build(self) -> Backbone:
        """The backbone, each time with the same parameters."""
        return copy.deepcopy(self._first)

    def cells(self, *, multiple: int = 1, everything: bool = False) -> CellGrid:
        """Cells of `multiple` times the total stride."""
        shown = torch.full((len(self.visible), *self.grid), everything)
        for sample, rows in enumerate(self.visible):
            shown[sample].view(-1)[list(rows)] = True
        cell = times(self.config.total_stride, (multiple,) * 3)
        return CellGrid(shown, cell=cell).to(self.device)

    def one_each(self, samples: int) -> CellGrid:
        """One visible cell in each of the first samples, none in the others."""
        shown = torch.zeros(len(self.visible), *self.grid, dtype=torch.bool)
        shown[:samples, 0, 0, 0] = True
        return CellGrid(shown, cell=self.config.total_stride).to(self.device)

    def volume(self, cells: CellGrid, *, seed: int = 0) -> Tensor:
        """(B, C, D, H, W) that lies on the cells."""
        generator = torch.Generator().manual_seed(seed)
        shape = (cells.batch, self.in_channels, *times(cells.grid, cells.cell))
        return torch.randn(shape, generator=generator, dtype=self.dtype).to(self.device)

    def results(
        self, volume: Tensor, *, cells: CellGrid | None = None, backend: str, maps: bool = False
    ) -> Results:
        """What a new backbone gives, gradients of its mean square, and running statistics.

        Args:
            volume: (B, C, D, H, W).
            cells: which of them are visible; the volume is dense by default.
            backend: that computes the visible part.
            maps: features are (B, C, D, H, W) and not those of visible cells.
        """
        backbone = self.build()
        volume = volume.detach().clone().requires_grad_(self.gradients)
        given: FeatureMap = volume
        if cells is not None:
            given = SparseVolume.from_dense(volume, cells=cells, backend=sparse_backend(backend))
        with nullcontext() if self.gradients else torch.no_grad():
            stages = as_announced(backbone, given)
            whole = {
                name: x.to_dense() if isinstance(x, SparseVolume) and maps else x
                for name, x in stages.items()
            }
            features = {
                name: x.features if isinstance(x, SparseVolume) else x for name, x in whole.items()
            }
        found: Results = {name: f.detach() for name, f in features.items()}
        if self.gradients:
            means = [f.square().mean() for f in features.values()]
            torch.autograd.backward(torch.stack(means).sum())
            found |= {f"the gradient of {n}": p.grad for n, p in backbone.named_parameters()}
            found["the gradient of the volume"] = volume.grad
        return found | {n: b for n, b in backbone.named_buffers() if b.is_floating_point()}

    def close(self, got: Results, want: Results) -> float:
        """Largest error; raises AssertionError where it is above the tolerance."""
        errors = [0.0]
        for name, value in want.items():
            if value is None:
                raise AssertionError(f"{name} is missing")
            errors.append(largest_error(got[name], value, name=name, tolerance=self.tolerance))
        return max(errors)


def as_announced(backbone: Backbone, volume: FeatureMap) -> dict[str, FeatureMap]:
    """Feature maps by name, and details where there are any.

    All are of the kind that was given and with the announced strides and channels.
    """
    announced = backbone.stages
    details: Details = ((),) * len(announced)
    if any(stage.details for stage in announced):
        stages, details = backbone(volume, details=True)
    else:
        stages = backbone(volume)
    count = f"{len(stages)} feature maps for {len(announced)} stages"
    require(len(stages) == len(announced), count)
    require(len(details) == len(announced), f"details of {len(details)} stages")
    found: dict[str, FeatureMap] = {}
    for i, (stage, said) in enumerate(zip(stages, announced, strict=True)):
        found[f"stage {i}"] = _as_announced(stage, said, volume=volume, name=f"stage {i}")
        levels = f"details of {len(details[i])} levels of stage {i}"
        require(len(details[i]) == len(said.details), levels)
        for j, (level, told) in enumerate(zip(details[i], said.details, strict=True)):
            name = f"stage {i} level {j}"
            found[name] = _as_announced(level, told, volume=volume, name=name)
    return found


def _as_announced(x: FeatureMap, said: Stage, *, volume: FeatureMap, name: str) -> FeatureMap:
    which = f"{name} of a {'dense' if isinstance(volume, Tensor) else 'sparse'} volume"
    require(type(x) is type(volume), f"{which} is a {type(x).__name__}")
    if isinstance(x, SparseVolume):
        found = f"stride {x.stride} and {x.channels} channels"
        wanted = f"{said.stride} and {said.channels}"
        same = (x.stride, x.channels) == (said.stride, said.channels)
        require(same, f"{which} has {found}, announced {wanted}")
    elif isinstance(volume, Tensor):
        shape, sizes = tuple(x.shape), zip(volume.shape[2:], said.stride, strict=True)
        want = (said.channels, *(s // f for s, f in sizes))
        require(shape[1:] == want, f"{which} has shape {shape}, announced {(shape[0], *want)}")
    return x
