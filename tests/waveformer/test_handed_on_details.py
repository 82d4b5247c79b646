"""The wavelet details that the backbone hands on to a decoder, and how they come there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl3d import ExperimentSpec
from ssl3d.geometry import Triple, times
from ssl3d.kinds.decoder import Decoder, DecoderOutput
from ssl3d.kinds.decoder_config import DecoderConfig, decoder_problems
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.sparse.layers import Conv3d
from ssl3d.tasks.finetune.build import build_model, model_problems
from ssl3d.tasks.finetune.recipe import Recipe
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.tasks import Segmentation
from ssl3d_plugins.waveformer import WaveFormer
from ssl3d_plugins.waveformer.levels import axes_at, full_name
from ssl3d_plugins.waveformer.wavelet import analyse, decompose, synthesise

WIDTHS = {"widths": (6, 12, 12), "depths": (1, 2, 1), "heads": (1, 1, 1)}
THICK = {"patch": (1, 2, 2), "merging": ((1, 2, 2), (2, 2, 2))}
KINDS: list[dict[str, Any]] = [
    {},
    {"preset": "paper", "window": 3},
    {"details": "mlp"},
    {**THICK, "preset": "paper", "window": (2, 2, 3)},
]


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(
    factor=st.tuples(*[st.integers(1, 2)] * 3).filter(lambda f: max(f) == 2),
    half=st.tuples(*[st.integers(1, 4)] * 3),
    channels=st.integers(1, 3),
)
def test_one_level_is_that_of_pywavelets(factor: Triple, half: Triple, channels: int) -> None:
    boxes = noise(2, *times(factor, half), channels)
    smooth, details = analyse(boxes, factor=factor)
    axes = [axis for axis in range(3) if factor[axis] == 2]
    bands = pywt.dwtn(boxes.numpy(), "haar", mode="zero", axes=[axis + 1 for axis in axes])
    named = {full_name(name, axes=tuple(axes)): band for name, band in bands.items()}
    in_order = [torch.from_numpy(named[name]) for name in sorted(named)]
    torch.testing.assert_close(torch.cat([smooth, details], -1), torch.cat(in_order, -1))
    torch.testing.assert_close(synthesise(smooth, details, factor=factor), boxes)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_they_are_those_of_the_normed_input_of_the_last_block(options: dict[str, Any]) -> None:
    config = WaveFormer(**WIDTHS, **options)
    model = config.build(in_channels=1).double()
    seen: list[Tensor] = []
    for layer in model.layers:
        layer.blocks[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    volume = noise(2, 1, *times(config.total_stride, (1, 2, 1)))
    with torch.no_grad():
        maps, details = model(volume, details=True)
        plain = model(volume)
        assert all(torch.equal(a, b) for a, b in zip(maps, plain, strict=True))
        for i, (layer, x) in enumerate(zip(model.layers, seen, strict=False)):
            levels = config.stage_levels[i]
            normed = layer.blocks[-1].mixer.norm(x.movedim(1, -1)).movedim(-1, 1)
            bands = decompose(normed, levels=levels).details
            assert len(details[i]) == max(levels) == len(config.stages()[i].details)
            for depth, (got, want) in enumerate(zip(details[i], reversed(bands), strict=True), 1):
                axes = axes_at(levels, depth)
                in_order = sorted(want, key=lambda name, axes=axes: full_name(name, axes=axes))
                torch.testing.assert_close(got, torch.cat([want[name] for name in in_order], 1))


class Toy(DecoderConfig):
    """The details of the finest stage, put back into the volume by the inverse transform."""

    builds = f"{__name__}:ToyDecoder"
    name: str = "toy"

    def needs(self) -> Any:
        return frozenset({"details", "volume"})


class ToyDecoder(Decoder):
    def __init__(
        self, _: Toy, *, stages: Any, out_channels: int, sparse: bool, in_channels: int
    ) -> None:
        super().__init__()
        self.head = Conv3d(stages[0].channels + in_channels, out_channels, kernel=1)
        self.sparse = sparse
        self.seen: list[tuple[Any, FeatureMap]] = []

    def forward(self, stages: Any, *, details: Any, volume: FeatureMap) -> DecoderOutput:  # type: ignore[override]
        kind = SparseVolume if self.sparse else Tensor
        assert all(isinstance(x, kind) for x in (*stages, *sum(details, ()), volume))
        first = _dense(details[0][0]).movedim(1, -1)
        smooth = first.new_zeros(*first.shape[:-1], _dense(stages[0]).shape[1])
        up = synthesise(smooth, first, factor=(2, 2, 2)).movedim(-1, 1)
        up = torch.nn.functional.interpolate(up, scale_factor=2.0)
        self.seen.append((details, volume))
        features = torch.cat([up, _dense(volume)], 1)
        return DecoderOutput(features=features, volume=self.head(features))


def _dense(x: FeatureMap) -> Tensor:
    return x.to_dense() if isinstance(x, SparseVolume) else x


def toy_model(encoder_input: str) -> Any:
    backbone = WaveFormer(**WIDTHS)
    model = ExperimentSpec(
        backbone=backbone,
        data={"volumes": "none", "patch": 32},
        cell=16,
        encoder_input=encoder_input,
    ).build()
    model.decoder = Toy().build(
        stages=backbone.stages(), out_channels=1, sparse=encoder_input == "visible", in_channels=1
    )
    return model


@pytest.mark.parametrize("encoder_input", ["visible", "zeroed"])
def test_hidden_voxels_change_no_bit_of_what_a_decoder_makes_of_them(encoder_input: str) -> None:
    model = toy_model(encoder_input)
    volume = noise(2, 1, 32, 32, 32).float()
    out = model(volume, generator=torch.Generator().manual_seed(0))
    hidden = out.hidden[0][:, None]
    other = torch.where(hidden, torch.full_like(volume, torch.nan), volume)
    again = model(other, hidden=out.levels)
    assert torch.equal(out.prediction, again.prediction)
    assert not torch.equal(out.prediction, model(2 * volume, hidden=out.levels).prediction)
    details, given_volume = model.decoder.seen[0]
    assert torch.equal(_dense(given_volume), torch.where(hidden, 0, volume))
    if encoder_input == "visible":  # zero-filled: nothing is known of hidden places
        for stage in details:
            for level in stage:
                dense = level.to_dense()
                there = torch.nn.functional.interpolate(hidden.float(), size=dense.shape[2:])
                assert not dense[(there > 0).expand_as(dense)].any()
                assert dense.any()


def test_in_fine_tuning_all_of_them_are_there() -> None:
    torch.manual_seed(0)
    backbone = WaveFormer(**WIDTHS).build(in_channels=2)
    task = Segmentation(labels={"ball": 1})
    plain = {"recipe": Recipe(name="scratch"), "steps": 60, "samples_per_step": 2}
    model = build_model(backbone, task=task, decoder=Toy(), **plain)
    volume = noise(1, 2, 16, 16, 32).float()
    assert model.predict(volume).shape[2:] == volume.shape[2:]
    ((details, seen),) = model.decoder.seen
    assert torch.equal(seen, volume)
    with torch.no_grad():
        _, want = copy.deepcopy(backbone)(volume, details=True)
    assert all(
        torch.equal(a, b)
        for one, other in zip(details, want, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def test_a_backbone_without_details_is_refused_and_others_are_named() -> None:
    stages = ResUNet(widths=(4, 8), blocks=(1, 1)).stages()
    ((option, message),) = decoder_problems(Toy(), stages=stages)
    assert option == "name"
    assert "a backbone that does: waveformer" in message
    task = Segmentation(labels={"ball": 1})
    ((option, _),) = model_problems(task, decoder=Toy(), stages=stages)
    assert option == "decoder.name"
    long = WaveFormer(wavelet="db2").stages()
    assert len(list(decoder_problems(Toy(), stages=long))) == 1
    assert not list(decoder_problems(Toy(), stages=WaveFormer().stages()))
