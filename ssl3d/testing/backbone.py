"""A kit that any backbone's tests subclass.

    class TestMine(BackboneConformance):
        config = Mine(widths=(4, 8))

Keep the network small: it is built often and computes in float64.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from ssl3d.geometry import Triple, times
from ssl3d.interfaces import Backbone, SparseBackend
from ssl3d.plugin.config import BackboneConfig, SparseBackendConfig
from ssl3d.plugin.registry import installed
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.sparse.hidden import cells_to_voxels
from ssl3d.testing.recorder import Recorder

GRID: Triple = (2, 3, 2)
VISIBLE = [[0, 3, 4, 7, 11], [1, 6, 8]]
"""Raster index of the visible cells of each sample; unequal counts, some of them neighbours."""

BACKENDS = ("cells", "dense")


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


class BackboneConformance:
    """What every backbone must do.

    Attributes:
        config: the backbone under test.
        in_channels: of the volumes.
        multiples: sizes of cells to try, in total strides; the first only where that is slow.
        tolerance: largest difference between results that must agree, in float64.
    """

    config: ClassVar[BackboneConfig]
    in_channels: ClassVar[int] = 2
    multiples: ClassVar[tuple[int, ...]] = (1, 2)
    tolerance: ClassVar[float] = 1e-9

    @pytest.fixture(autouse=True)
    def _own_random_state(self) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield

    def build(self) -> Backbone:
        """The backbone in float64 with random parameters."""
        backbone = self.config.build(in_channels=self.in_channels).double()
        randomise(backbone)
        return backbone

    def cells(self, *, multiple: int = 1, everything: bool = False) -> CellGrid:
        """Cells of `multiple` times the total stride."""
        visible = torch.full((2, *GRID), everything)
        for sample, rows in enumerate(VISIBLE):
            visible[sample].view(-1)[rows] = True
        return CellGrid(visible, cell=times(self.config.total_stride, (multiple,) * 3))

    def volume(self, cells: CellGrid, *, seed: int = 0) -> Tensor:
        """(B, C, D, H, W) that lies on the cells."""
        generator = torch.Generator().manual_seed(seed)
        size = times(cells.grid, cells.cell)
        shape = (cells.batch, self.in_channels, *size)
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def test_stages_are_what_the_config_says(self) -> None:
        """Strides, channels and sizes of the feature maps."""
        cells, backbone = self.cells(everything=True), self.build()
        assert backbone.stages == self.config.stages()
        volume = self.volume(cells)
        dense = backbone(volume)
        sparse = backbone(
            SparseVolume.from_dense(volume, cells=cells, backend=sparse_backend("dense"))
        )
        assert len(dense) == len(sparse) == len(backbone.stages)
        for stage, a, b in zip(backbone.stages, dense, sparse, strict=True):
            assert isinstance(a, Tensor)
            assert isinstance(b, SparseVolume)
            assert (b.stride, b.channels) == (stage.stride, stage.channels)
            assert a.shape[1] == stage.channels
            assert times((a.shape[2], a.shape[3], a.shape[4]), stage.stride) == volume.shape[2:]

    def test_operations_are_what_the_config_says(self) -> None:
        """Neither more nor fewer than validation compares with the sparse backend."""
        cells = self.cells()
        recorder = Recorder(sparse_backend("dense"))
        backbone = self.config.build(in_channels=1).double()
        volume = self.volume(cells)[:, :1]
        backbone(SparseVolume.from_dense(volume, cells=cells, backend=recorder))
        assert recorder.operations == set(self.config.operations())

    @pytest.mark.parametrize("name", BACKENDS)
    def test_nothing_hidden_is_the_dense_result(self, name: str) -> None:
        """Values, gradients and running statistics."""
        for multiple in self.multiples:
            self._compare_with_dense(name, self.cells(multiple=multiple, everything=True))

    def _compare_with_dense(self, name: str, cells: CellGrid) -> None:
        results = []
        for sparse in (True, False):
            backbone, volume = self.build(), self.volume(cells).requires_grad_()
            if sparse:
                backend = sparse_backend(name)
                features = backbone(SparseVolume.from_dense(volume, cells=cells, backend=backend))
                maps = [x.to_dense() for x in features if isinstance(x, SparseVolume)]
            else:
                maps = [x for x in backbone(volume) if isinstance(x, Tensor)]
            sum(x.square().mean() for x in maps).backward()  # type: ignore[union-attr]
            gradients = {n: p.grad for n, p in backbone.named_parameters()}
            results.append((maps, {"volume": volume.grad, **gradients, **_buffers(backbone)}))
        (sparse_maps, sparse_others), (dense_maps, dense_others) = results
        for a, b in zip(sparse_maps, dense_maps, strict=True):
            self._close(a, b, "features")
        for key, value in dense_others.items():
            self._close(sparse_others[key], value, key)

    @pytest.mark.parametrize("name", BACKENDS)
    @pytest.mark.parametrize("finite", [True, False])
    @pytest.mark.parametrize("training", [True, False])
    def test_no_leak(self, name: str, finite: bool, training: bool) -> None:
        """Hidden voxels change no bit of any feature, gradient or running statistic."""
        cells = self.cells()
        hidden = cells_to_voxels(~cells.visible, cell=cells.cell)[:, None]
        volume = self.volume(cells)
        other = 100 * self.volume(cells, seed=1)
        if not finite:
            other = torch.where(other > 0, torch.inf, torch.nan)
        results = []
        for values in (volume, torch.where(hidden, other, volume)):
            backbone = self.build().train(training)
            values = values.clone().requires_grad_()
            x = SparseVolume.from_dense(values, cells=cells, backend=sparse_backend(name))
            features = [y.features for y in backbone(x) if isinstance(y, SparseVolume)]
            sum(f.square().mean() for f in features).backward()  # type: ignore[union-attr]
            gradients = {n: p.grad for n, p in backbone.named_parameters()}
            named = {f"stage {i}": f for i, f in enumerate(features)}
            results.append({**named, **gradients, **_buffers(backbone), "volume": values.grad})
        for key, value in results[0].items():
            changed = results[1][key]
            assert value is not None
            assert changed is not None
            assert torch.isfinite(value).all(), f"{key} is not finite"
            assert torch.equal(value, changed), f"hidden voxels change {key}"

    def test_backends_agree(self) -> None:
        """On visible cells, in values and gradients."""
        results = []
        for name in BACKENDS:
            cells, backbone = self.cells(multiple=self.multiples[-1]), self.build()
            volume = self.volume(cells).requires_grad_()
            x = SparseVolume.from_dense(volume, cells=cells, backend=sparse_backend(name))
            features = [y.features for y in backbone(x) if isinstance(y, SparseVolume)]
            sum(f.square().mean() for f in features).backward()  # type: ignore[union-attr]
            gradients = {n: p.grad for n, p in backbone.named_parameters()}
            named = {f"stage {i}": f for i, f in enumerate(features)}
            results.append({**named, **gradients, "volume": volume.grad})
        for key, value in results[0].items():
            self._close(results[1][key], value, key)

    def test_every_parameter_has_a_gradient(self) -> None:
        """Distributed training waits for each of them."""
        cells, backbone = self.cells(), self.build()
        x = SparseVolume.from_dense(
            self.volume(cells), cells=cells, backend=sparse_backend("cells")
        )
        features = [y.features for y in backbone(x) if isinstance(y, SparseVolume)]
        sum(f.square().mean() for f in features).backward()  # type: ignore[union-attr]
        without = [name for name, p in backbone.named_parameters() if p.grad is None]
        assert not without, f"without a gradient: {', '.join(without)}"

    def test_samples_do_not_meet(self) -> None:
        """In evaluation a sample's features do not depend on the others of its batch."""
        cells, backbone = self.cells(), self.build().eval()
        volume, backend = self.volume(cells), sparse_backend("cells")
        both = backbone(SparseVolume.from_dense(volume, cells=cells, backend=backend))
        alone = CellGrid(cells.visible[1:], cell=cells.cell)
        one = backbone(SparseVolume.from_dense(volume[1:], cells=alone, backend=backend))
        for x, y in zip(both, one, strict=True):
            assert isinstance(x, SparseVolume)
            assert isinstance(y, SparseVolume)
            self._close(x.to_dense()[1:], y.to_dense(), "features")

    def test_its_own_weights_load(self) -> None:
        """All of them, and a missing one is an error that names it."""
        source, target = self.build(), self.config.build(in_channels=self.in_channels)
        weights = source.state_dict()
        report = target.double().load_weights(weights)
        assert not report.missing
        for name, value in target.state_dict().items():
            assert torch.equal(value, weights[name]), name
        name = next(iter(weights))
        with pytest.raises(ValueError, match=re.escape(name.split(".")[-1])):
            target.load_weights({n: v for n, v in weights.items() if n != name})

    def test_the_config_survives_json(self) -> None:
        """Specs are stored as JSON."""
        again = type(self.config).model_validate_json(self.config.model_dump_json())
        assert again == self.config

    def test_it_accepts_its_own_cell(self) -> None:
        """The total stride is a cell size without problems."""
        assert not list(self.config.problems(cell=self.config.total_stride, sparse=True))

    def _close(self, got: Tensor | None, expected: Tensor | None, what: str) -> None:
        assert got is not None, f"{what} is missing"
        assert expected is not None
        scale = max(1.0, float(expected.detach().abs().max()))
        assert float((got - expected).detach().abs().max()) <= self.tolerance * scale, (
            f"{what} differs"
        )


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: b for name, b in module.named_buffers() if b.is_floating_point()}
