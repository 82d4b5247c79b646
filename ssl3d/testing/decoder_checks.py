"""What every decoder must do: plain functions that raise AssertionError with a reason."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ssl3d.geometry import Stage, Triple, quotient, times
from ssl3d.kinds.decoder import Decoder, DecoderOutput
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.sparse import CellGrid, FeatureMap, SparseBackend, SparseVolume
from ssl3d.sparse.layers import OneSiteError
from ssl3d.testing.backbone_under_test import randomise, sparse_backend
from ssl3d.testing.recorder import Recorder

GRID: Triple = (2, 3, 2)
BATCH, CHANNELS = 2, 2


@dataclass(frozen=True)
class DecoderUnderTest:
    """A decoder and what it is tried on.

    Attributes:
        config: the decoder under test.
        stages: feature maps that it is given, fine to coarse; a cell is a site of the last.
        tolerance: largest difference between results that must agree, in float64.
    """

    config: DecoderConfig
    stages: tuple[Stage, ...] = (Stage((1, 2, 2), 6), Stage((2, 4, 4), 10), Stage((2, 8, 8), 12))
    tolerance: float = 1e-9

    def build(self, *, sparse: bool = True) -> Decoder:
        """The decoder in float64 with random parameters."""
        decoder = self.config.build(stages=self.stages, out_channels=CHANNELS, sparse=sparse)
        randomise(decoder.double())
        return decoder

    def cells(self, *, share: float = 0.5) -> CellGrid:
        """Two samples that show a share of their cells, at least the first."""
        random = torch.Generator().manual_seed(1)
        visible = torch.rand(BATCH, *GRID, generator=random) < share
        visible[:, 0, 0, 0] = True
        return CellGrid(visible, cell=self.stages[-1].stride)

    def maps(
        self, cells: CellGrid, *, backend: SparseBackend | None = None, sparse: bool = True
    ) -> list[FeatureMap]:
        """Random features of each stage, the same for all; `sparse` is False for dense maps."""
        random = torch.Generator().manual_seed(2)
        maps: list[FeatureMap] = []
        for stage in self.stages:
            size = quotient(times(GRID, cells.cell), stage.stride)
            dense = torch.randn(BATCH, stage.channels, *size, generator=random).double()
            features = cells.gather(dense, stride=stage.stride)
            on = backend or sparse_backend("dense")
            maps.append(SparseVolume(features, cells, stage.stride, on) if sparse else dense)
        return maps


def it_accepts_the_stages(decoder: DecoderUnderTest) -> None:
    """Validation has nothing against what it is tried on."""
    found = list(decoder.config.problems(stages=decoder.stages))
    assert not found, f"{found[0].option}: {found[0].message}"


def it_restores_a_volume(decoder: DecoderUnderTest) -> None:
    """Features and a volume of the right size, from visible cells and from dense maps."""
    for sparse in (True, False):
        cells = decoder.cells()
        out = decoder.build(sparse=sparse)(decoder.maps(cells, sparse=sparse))
        assert isinstance(out, DecoderOutput), "forward must return a DecoderOutput"
        size = times(GRID, cells.cell)
        shape = tuple(out.volume.shape)
        assert shape == (BATCH, CHANNELS, *size), f"the volume has shape {shape}"
        assert out.volume.isfinite().all(), "the volume is not finite"
        shape = tuple(out.features.shape)
        assert len(shape) == 5, f"features have shape {shape}, not (B, F, d, h, w)"
        whole = all(v % s == 0 for v, s in zip(size, shape[2:], strict=True))
        assert whole, f"features have shape {shape}, which does not divide a volume of {size}"


def every_parameter_has_a_gradient(decoder: DecoderUnderTest) -> None:
    """Distributed training waits for each of them; dense maps have no hidden sites."""
    for sparse in (True, False):
        built = decoder.build(sparse=sparse)
        built(decoder.maps(decoder.cells(), sparse=sparse)).volume.square().mean().backward()
        without = [name for name, p in built.named_parameters() if p.grad is None]
        assert not without, f"sparse={sparse}: without a gradient: {', '.join(without)}"


def the_deepest_stage_learns(decoder: DecoderUnderTest) -> None:
    """A decoder that does not read it would teach an encoder little."""
    maps = decoder.maps(decoder.cells())
    deepest = maps[-1]
    assert isinstance(deepest, SparseVolume)
    features = deepest.features.requires_grad_()
    decoder.build()(maps).volume.square().mean().backward()
    assert features.grad is not None, "the deepest stage is not read"
    assert bool(features.grad.abs().sum() > 0), "the deepest stage learns nothing"


def nothing_hidden_is_the_dense_result(decoder: DecoderUnderTest) -> None:
    """One set of parameters serves cells and dense maps."""
    cells = decoder.cells(share=2)
    sparse, dense = (decoder.build()(decoder.maps(cells, sparse=s)) for s in (True, False))
    _same(sparse, dense, tolerance=decoder.tolerance)


def backends_agree(decoder: DecoderUnderTest) -> None:
    """On visible cells."""
    one, other = (
        decoder.build()(decoder.maps(decoder.cells(), backend=sparse_backend(name)))
        for name in ("cells", "dense")
    )
    _same(one, other, tolerance=decoder.tolerance)


def samples_do_not_meet(decoder: DecoderUnderTest) -> None:
    """In evaluation a sample's result does not depend on the others of its batch."""
    cells, built = decoder.cells(), decoder.build().eval()
    maps = decoder.maps(cells)
    alone = CellGrid(cells.visible[1:], cell=cells.cell)
    second: list[FeatureMap] = [
        SparseVolume(x.features[cells.counts[0] :], alone, x.stride, x.backend)
        for x in maps
        if isinstance(x, SparseVolume)
    ]
    both, one = built(maps), built(second)
    _same(DecoderOutput(both.features[1:], both.volume[1:]), one, tolerance=decoder.tolerance)


def operations_are_what_the_config_says(decoder: DecoderUnderTest) -> None:
    """Neither more nor fewer than validation compares with the sparse backend."""
    recorder = Recorder(sparse_backend("dense"))
    decoder.build()(decoder.maps(decoder.cells(), backend=recorder))
    told = set(decoder.config.operations(stages=decoder.stages))
    assert recorder.operations == told, f"asks for {recorder.operations}, the config says {told}"


def instance_norms_are_what_the_config_says(decoder: DecoderUnderTest) -> None:
    """Instance norm on one visible site is an error, so validation must know where it is."""
    told = decoder.stages[-1] in decoder.config.instance_norm_stages(stages=decoder.stages)
    try:
        decoder.build()(decoder.maps(decoder.cells(share=0)))
        refused = False
    except OneSiteError:
        refused = True
    assert refused == told, (
        f"one visible site of the deepest stage is {'an' if refused else 'no'} error, and "
        f"instance_norm_stages has {'that stage' if told else 'it not'}"
    )


def the_config_survives_json(decoder: DecoderUnderTest) -> None:
    """Specs are stored as JSON: a config comes back as it was."""
    again = type(decoder.config).model_validate_json(decoder.config.model_dump_json())
    assert again == decoder.config, f"{decoder.config!r} comes back from JSON as {again!r}"


CHECKS = (
    it_accepts_the_stages,
    it_restores_a_volume,
    every_parameter_has_a_gradient,
    the_deepest_stage_learns,
    nothing_hidden_is_the_dense_result,
    backends_agree,
    samples_do_not_meet,
    operations_are_what_the_config_says,
    instance_norms_are_what_the_config_says,
    the_config_survives_json,
)


def _same(got: DecoderOutput, want: DecoderOutput, *, tolerance: float) -> None:
    pairs: list[tuple[str, Tensor, Tensor]]
    pairs = [("features", got.features, want.features), ("volume", got.volume, want.volume)]
    for name, a, b in pairs:
        error = float((a - b).detach().abs().max()) / max(1.0, float(b.detach().abs().max()))
        assert error <= tolerance, f"{name} differ by {error:.1e} of the largest value"
