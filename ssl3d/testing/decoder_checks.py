"""What every decoder must do."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch

from ssl3d.geometry import Stage, Triple, quotient, times
from ssl3d.kinds.decoder import Decoder, DecoderOutput
from ssl3d.kinds.decoder_config import DecoderConfig, decoder_problems
from ssl3d.sparse import CellGrid, FeatureMap, SparseBackend, SparseVolume
from ssl3d.sparse.layers import OneSiteError
from ssl3d.testing.backbone_under_test import randomise, sparse_backend
from ssl3d.testing.check import check, checks_of, largest_error, require, survives_json
from ssl3d.testing.recorder import Recorder

GRID: Triple = (2, 3, 2)
BATCH, CHANNELS = 2, 2


class Given(NamedTuple):
    """What a decoder reads.

    Attributes:
        stages: feature maps, fine to coarse.
        beside: what it needs besides, by name.
    """

    stages: list[FeatureMap]
    beside: dict[str, Any]

    def to(self, decoder: Decoder) -> DecoderOutput:
        """What the decoder makes of it."""
        out: DecoderOutput = decoder(self.stages, **self.beside)
        return out


@dataclass(frozen=True)
class DecoderUnderTest:
    """A decoder and what it is tried on.

    Attributes:
        config: the decoder under test.
        stages: feature maps that it is given, fine to coarse; a cell is a site of the last.
        tolerance: largest difference between results that must agree, in float64.
        device: where it computes.
    """

    config: DecoderConfig
    stages: tuple[Stage, ...] = (Stage((1, 2, 2), 6), Stage((2, 4, 4), 10), Stage((2, 8, 8), 12))
    tolerance: float = 1e-9
    device: str = "cpu"

    def build(self, *, sparse: bool = True) -> Decoder:
        """The decoder in float64 with random parameters."""
        decoder = self.config.build(
            stages=self.stages, out_channels=CHANNELS, sparse=sparse, in_channels=CHANNELS
        )
        randomise(decoder.double())
        return decoder.to(self.device)

    def cells(self, *, share: float = 0.5) -> CellGrid:
        """Two samples that show a share of their cells, at least the first."""
        random = torch.Generator().manual_seed(1)
        visible = torch.rand(BATCH, *GRID, generator=random) < share
        visible[:, 0, 0, 0] = True
        return CellGrid(visible, cell=self.stages[-1].stride).to(self.device)

    def one_each(self, samples: int) -> CellGrid:
        """One visible cell in each of the first samples, none in the others."""
        visible = torch.zeros(BATCH, *GRID, dtype=torch.bool)
        visible[:samples, 0, 0, 0] = True
        return CellGrid(visible, cell=self.stages[-1].stride).to(self.device)

    def given(
        self, cells: CellGrid, *, backend: SparseBackend | None = None, sparse: bool = True
    ) -> Given:
        """Random features of each stage, the same for all; `sparse` is False for dense maps."""
        random = torch.Generator().manual_seed(2)
        on, needs = backend or sparse_backend("dense"), self.config.needs()

        def drawn(stage: Stage) -> FeatureMap:
            size = quotient(times(GRID, cells.cell), stage.stride)
            dense = torch.randn(BATCH, stage.channels, *size, generator=random)
            dense = dense.to(self.device, torch.float64)
            features = cells.gather(dense, stride=stage.stride)
            return SparseVolume(features, cells, stage.stride, on) if sparse else dense

        maps: list[FeatureMap] = [drawn(stage) for stage in self.stages]
        beside: dict[str, Any] = {}
        if "details" in needs:
            beside["details"] = tuple(tuple(map(drawn, stage.details)) for stage in self.stages)
        if "volume" in needs:
            beside["volume"] = drawn(Stage((1, 1, 1), CHANNELS))
        return Given(maps, beside)

    def compare(self, got: DecoderOutput, want: DecoderOutput) -> None:
        """Assert that two results are the same."""
        count = f"{len(got.deep)} coarser volumes, expected {len(want.deep)}"
        require(len(got.deep) == len(want.deep), count)
        pairs = [("features", got.features, want.features), ("volume", got.volume, want.volume)]
        deep = zip(got.deep, want.deep, strict=True)
        pairs += [(f"deep {i}", a, b) for i, (a, b) in enumerate(deep)]
        for name, a, b in pairs:
            largest_error(a, b, name=name, tolerance=self.tolerance)


@check()
def it_accepts_the_stages(decoder: DecoderUnderTest) -> None:
    """Validation has nothing against what it is tried on."""
    for option, message in decoder_problems(decoder.config, stages=decoder.stages):
        raise AssertionError(f"{option}: {message}")


@check(sparse=(True, False))
def it_restores_a_volume(decoder: DecoderUnderTest, *, sparse: bool) -> None:
    """Features and a volume of the right size, from visible cells and from dense maps."""
    cells = decoder.cells()
    out = decoder.given(cells, sparse=sparse).to(decoder.build(sparse=sparse))
    require(isinstance(out, DecoderOutput), "forward must return a DecoderOutput")
    size, shape = times(GRID, cells.cell), tuple(out.volume.shape)
    require(shape == (BATCH, CHANNELS, *size), f"the volume has shape {shape}")
    require(bool(out.volume.isfinite().all()), "the volume is not finite")
    shape = tuple(out.features.shape)
    require(len(shape) == 5, f"features have shape {shape}, not (B, F, d, h, w)")
    whole = all(v % s == 0 for v, s in zip(size, shape[2:], strict=True))
    require(whole, f"features have shape {shape}, which does not divide a volume of {size}")
    told = decoder.config.features(stages=decoder.stages)
    if told is not None:
        right = shape[1:] == (told.channels, *quotient(size, told.stride))
        require(right, f"features have shape {shape}, and features() says {told}")
    for deep in out.deep:
        shape = tuple(deep.shape)
        whole = all(v % s == 0 for v, s in zip(size, shape[2:], strict=True))
        right = whole and shape[:2] == (BATCH, CHANNELS)
        require(right, f"a coarser volume has shape {shape}: give (B, C, d, h, w) that divides it")


@check()
def its_heads_are_what_follows_from_the_channels(decoder: DecoderUnderTest) -> None:
    """Another number of output channels changes the shapes of these parameters and of no others."""
    shapes = []
    for channels in (CHANNELS, CHANNELS + 3):
        built = decoder.config.build(
            stages=decoder.stages, out_channels=channels, sparse=True, in_channels=CHANNELS
        )
        shapes.append({name: tuple(p.shape) for name, p in built.state_dict().items()})
    one, other = shapes
    require(one.keys() == other.keys(), "another number of channels changes names of parameters")
    changed = {name for name in one if one[name] != other[name]}
    told = {name for name in one if any(fnmatchcase(name, pattern) for pattern in built.heads)}
    require(changed <= told, f"another shape, but none of its heads: {sorted(changed - told)}")


@check(visible=("some", "none", "all"))
def every_parameter_has_a_gradient(decoder: DecoderUnderTest, *, visible: str) -> None:
    """Distributed training waits for each of them; all: dense maps, which have no hidden sites."""
    sparse = visible != "all"
    built = decoder.build(sparse=sparse)
    cells = decoder.one_each(0) if visible == "none" else decoder.cells()
    out = decoder.given(cells, sparse=sparse).to(built)
    torch.autograd.backward([one.square().mean() for one in (out.volume, *out.deep)])
    without = [name for name, p in built.named_parameters() if p.grad is None]
    require(not without, f"without a gradient: {', '.join(without)}")


@check()
def the_deepest_stage_learns(decoder: DecoderUnderTest) -> None:
    """A decoder that does not read it would teach an encoder little."""
    given = decoder.given(decoder.cells())
    deepest = given.stages[-1]
    assert isinstance(deepest, SparseVolume)
    features = deepest.features.requires_grad_()
    torch.autograd.backward(given.to(decoder.build()).volume.square().mean())
    learns = features.grad is not None and bool(features.grad.abs().sum() > 0)
    require(learns, "the deepest stage gets no gradient")


@check()
def nothing_hidden_is_the_dense_result(decoder: DecoderUnderTest) -> None:
    """One set of parameters serves cells and dense maps."""
    cells = decoder.cells(share=2)
    sparse, dense = (decoder.given(cells, sparse=s).to(decoder.build()) for s in (True, False))
    decoder.compare(sparse, dense)


@check()
def backends_agree(decoder: DecoderUnderTest) -> None:
    """On visible cells."""
    one, other = (
        decoder.given(decoder.cells(), backend=sparse_backend(name)).to(decoder.build())
        for name in ("cells", "dense")
    )
    decoder.compare(one, other)


@check()
def samples_do_not_meet(decoder: DecoderUnderTest) -> None:
    """In evaluation a sample's result does not depend on the others of its batch."""
    cells, built = decoder.cells(), decoder.build().eval()
    given, alone = decoder.given(cells), CellGrid(cells.visible[1:], cell=cells.cell)

    def second(x: Any) -> Any:
        if isinstance(x, SparseVolume):
            return SparseVolume(x.features[cells.counts[0] :], alone, x.stride, x.backend)
        return tuple(map(second, x))

    beside = {name: second(x) for name, x in given.beside.items()}
    both, one = given.to(built), Given(list(second(given.stages)), beside).to(built)
    rows = DecoderOutput(both.features[1:], both.volume[1:], tuple(x[1:] for x in both.deep))
    decoder.compare(rows, one)


@check()
def operations_are_what_the_config_says(decoder: DecoderUnderTest) -> None:
    """Neither more nor fewer than validation compares with the sparse backend."""
    recorder = Recorder(sparse_backend("dense"))
    decoder.given(decoder.cells(), backend=recorder).to(decoder.build())
    asked, told = recorder.operations, set(decoder.config.operations(stages=decoder.stages))
    require(asked == told, f"asks for {asked}, the config says {told}")


@check(samples=(1, 2))
def norms_are_what_the_config_says(decoder: DecoderUnderTest, *, samples: int) -> None:
    """One visible site has no variance: instance norm fails on it, batch norm where it is alone."""
    norms = decoder.config.instance_norm_stages(stages=decoder.stages)
    if samples == 1:
        norms += decoder.config.batch_norm_stages(stages=decoder.stages)
    told = decoder.stages[-1] in norms
    try:
        decoder.given(decoder.one_each(samples)).to(decoder.build())
        refused = False
    except OneSiteError:
        refused = True
    require(
        refused == told,
        f"one visible site of the deepest stage in {samples} of {BATCH} samples is "
        f"{'an' if refused else 'no'} error, and the config says {'' if told else 'not '}so",
    )


@check()
def the_config_survives_json(decoder: DecoderUnderTest) -> None:
    """Specs are stored as JSON."""
    survives_json(decoder.config)


CHECKS = checks_of(globals())
