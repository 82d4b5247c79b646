"""Hiding features: a dense backbone, its deepest map hidden in part, an encoder of the rest."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from ssl3d import ExperimentSpec
from ssl3d.geometry import Triple, quotient, times
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.output import PretrainOutput
from ssl3d.sparse import SparseVolume

pytestmark = pytest.mark.filterwarnings("ignore:data.patch")

WAVE = {"name": "waveformer", "widths": (8, 12), "depths": (1, 1), "heads": (1, 2)}
"""Of total stride 4."""
ENCODERS: dict[str, Any] = {
    "resunet": {"name": "resunet", "widths": (6, 8), "blocks": (1, 1), "norm": "batch"},
    "resunet, instance norm": {"name": "resunet", "widths": (6, 8), "blocks": (1, 1)},
    "waveformer": {**WAVE, "patch": 1},
    "monai": {
        "name": "monai",
        "network": {
            "name": "segresnet",
            "init_filters": 4,
            "num_groups": 2,
            "blocks_down": (1, 1),
        },
    },
    "one stage": {"name": "resunet", "widths": (6,), "blocks": (1,)},
}
TARGETS = ("patch_normalised", "voxels", "features")


def make(*, patch: Any = 32, encoder: Any = ENCODERS["resunet"], **parts: Any) -> PretrainModel:
    options: dict[str, Any] = {"backbone": WAVE, "losses": ["mse", "l1"], **parts}
    data = {"channels": {"a": "a*", "b": "b*"}, "patch": patch}
    return ExperimentSpec(feature_encoder=encoder, data=data, **options).build().double()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def in_sites(model: PretrainModel, output: PretrainOutput) -> Tensor:
    """(B, d, h, w) bool: sites of the backbone's map that are hidden."""
    edge = quotient(model.cell, model.backbone.stages[-1].stride)
    return output.levels.voxels(edge)[0]


def test_the_flow_of_the_founding_report() -> None:
    """128³ to a map of 8³, hidden in part, through a sparse encoder of two strides."""
    backbone = {"name": "waveformer", "widths": (4, 4, 8, 8), "heads": (1, 1, 1, 1)}
    model = make(
        patch=128,
        backbone={**backbone, "depths": (1, 1, 1, 1), "positions": "none"},
        encoder={"name": "resunet", "widths": (8, 8, 8), "blocks": (1, 1, 1), "norm": "batch"},
        masker={"name": "mim", "global_ratio": 0.6},
        losses=["mse", "info_nce"],
    ).float()
    assert model.cell == (64, 64, 64)
    output = model(noise(2, 2, 128, 128, 128).float(), generator=generator())
    assert [stage.stride for stage in output.stages] == [(16,) * 3, (32,) * 3, (64,) * 3]
    assert [stage.edge for stage in output.stages] == [(4,) * 3, (2,) * 3, (1,) * 3]
    assert output.prediction is not None
    assert output.prediction.shape == (2, 2, 128, 128, 128)
    output.loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("encoder_input", ["visible", "zeroed"])
@pytest.mark.parametrize("target", TARGETS)
def test_it_is_these_parts_one_after_another(target: str, encoder_input: str) -> None:
    """Written out: zeros where features are hidden, the losses as loops over cells."""
    model = make(target=target, encoder_input=encoder_input, sparse_backend="dense")
    volume = noise(2, 2, 32, 32, 32)
    output = model(volume, generator=generator())
    hidden = in_sites(model, output)
    assert hidden.any()
    assert not hidden.all()
    deepest = model.backbone(volume)[-1]
    assert model.feature_encoder is not None
    if encoder_input == "zeroed":
        for ours, stage in zip(
            model.feature_encoder(torch.where(hidden[:, None], 0, deepest)),
            output.stages,
            strict=True,
        ):
            torch.testing.assert_close(ours, stage)
    assert model.decoder is not None
    prediction = model.decoder(output.stages).volume
    torch.testing.assert_close(output.prediction, prediction)

    truth, edge = volume, model.cell
    if target == "features":
        edge = quotient(model.cell, (4, 4, 4))
        mean = deepest.mean(1, keepdim=True)
        variance = deepest.var(1, keepdim=True, unbiased=False)
        truth = (deepest - mean) / (variance + 1e-6).sqrt()
    by_sample = []
    for i, cells in enumerate(output.levels.levels[0]):
        errors = []
        for place in cells.nonzero().tolist():
            box = (
                i,
                slice(None),
                *(slice(p * e, p * e + e) for p, e in zip(place, edge, strict=True)),
            )
            wanted = truth[box]
            if target == "patch_normalised":
                mean = wanted.mean((1, 2, 3), keepdim=True)
                variance = wanted.var((1, 2, 3), keepdim=True, unbiased=False)
                wanted = (wanted - mean) / (variance + 1e-6).sqrt()
            errors.append((prediction[box] - wanted).square().mean())
        by_sample.append(torch.stack(errors).mean())
    torch.testing.assert_close(output.losses["mse"], torch.stack(by_sample).mean())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_hidden_features_reach_nothing(encoder: str, target: str, training: bool) -> None:
    """No bit of what the encoder and the decoder make of the others."""
    model = make(encoder=ENCODERS[encoder], target=target)
    check_hidden_features_reach_nothing(model, training=training)


def check_hidden_features_reach_nothing(model: PretrainModel, *, training: bool) -> None:
    volume = noise(2, 2, 32, 32, 32)
    valid = torch.ones(2, 32, 32, 32, dtype=torch.bool)
    valid[0, -8:] = False
    hidden = in_sites(model, model(volume, valid=valid, generator=generator()))

    def run(by: float | None) -> list[Tensor]:
        fresh = copy.deepcopy(model).train(training)

        def disturb(_module: Any, _args: Any, stages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (*stages[:-1], torch.where(hidden[:, None], by, stages[-1]))

        if by is not None:
            fresh.backbone.register_forward_hook(disturb)
        output = fresh(volume, valid=valid, generator=generator())
        assert output.prediction is not None
        return [output.prediction, *(s.features for s in output.stages)]

    before = run(None)
    assert all(torch.isfinite(part).all() for part in before)
    for by in (100.0, torch.nan, torch.inf):
        for one, other in zip(before, run(by), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("target", ["voxels", "features"])
@pytest.mark.parametrize("details", ["stage", "handed_on"])
def test_decoders_that_read_details_read_those_of_the_feature_encoder(
    details: str, target: str
) -> None:
    decoder = {"name": "wavelet", "details": details, "width": 12}
    model = make(encoder=ENCODERS["waveformer"], decoder=decoder, target=target)
    check_hidden_features_reach_nothing(model, training=True)


def test_hidden_voxels_do_reach_visible_features() -> None:
    """By construction: the backbone looks past every cell."""
    model = make()
    volume = noise(1, 2, 32, 32, 32)
    output = model(volume, generator=generator())
    changed = torch.where(output.hidden[0][:, None], noise(1, 2, 32, 32, 32, seed=1), volume)
    other = model(changed, hidden=output.levels)
    assert not torch.equal(output.stages[0].features, other.stages[0].features)


def test_the_target_gives_no_gradient() -> None:
    """Neither to the features that are restored, nor through hidden sites at all."""
    model, found = make(target="features"), []

    def keep(_module: Any, _args: Any, stages: tuple[Tensor, ...]) -> None:
        stages[-1].retain_grad()
        found.append(stages[-1])

    model.backbone.register_forward_hook(keep)
    output = model(noise(2, 2, 32, 32, 32), generator=generator())
    output.loss.backward()
    (deepest,) = found
    hidden = in_sites(model, output)[:, None].expand_as(deepest)
    assert not deepest.grad[hidden].any()
    assert deepest.grad[~hidden].any()


def test_features_that_are_all_alike_make_the_trivial_prediction_good() -> None:
    """So that a collapse is seen beside it."""
    model = make(target="features")

    def alike(_module: Any, _args: Any, stages: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (*stages[:-1], stages[-1][:1, :, :1, :1, :1].expand_as(stages[-1]))

    volume = noise(2, 2, 32, 32, 32)
    mse = model.losses[0]
    apart = mse.trivial(model(volume, generator=generator()).step)["loss"]
    model.backbone.register_forward_hook(alike)
    same = mse.trivial(model(volume, generator=generator()).step)["loss"]
    assert same < 1e-20
    assert apart > 0.1


@pytest.mark.parametrize("encoder", ENCODERS)
def test_with_nothing_hidden_sparse_equals_dense(encoder: str) -> None:
    sparse = make(encoder=ENCODERS[encoder])
    dense = make(encoder=ENCODERS[encoder], encoder_input="zeroed")
    weights = {k: v for k, v in sparse.state_dict().items() if not k.endswith(".token")}
    dense.load_state_dict(weights)
    volume, grid = noise(2, 2, 32, 32, 32), quotient((32, 32, 32), sparse.cell)
    nothing = torch.zeros(2, *grid, dtype=torch.bool)
    ours, theirs = (model(volume, hidden=nothing) for model in (sparse, dense))
    torch.testing.assert_close(ours.prediction, theirs.prediction)
    for one, other in zip(ours.stages, theirs.stages, strict=True):
        assert isinstance(one, SparseVolume)
        torch.testing.assert_close(one.to_dense(), other)


@settings(max_examples=10, deadline=None)
@given(
    grid=st.tuples(*[st.integers(1, 3)] * 3).filter(lambda grid: max(grid) > 1),
    thick=st.booleans(),
    target=st.sampled_from(TARGETS),
)
def test_any_size_and_thick_slices(grid: Triple, thick: bool, target: str) -> None:
    patch = (1, 2, 2) if thick else (2, 2, 2)
    encoder = {**ENCODERS["resunet"], "strides": ((1, 1, 1), (1, 2, 2) if thick else (2, 2, 2))}
    cell: Triple = (2, 8, 8) if thick else (8, 8, 8)
    size = times(grid, cell)
    model = make(patch=size, backbone={**WAVE, "patch": patch}, encoder=encoder, target=target)
    assert model.cell == cell
    volume = noise(2, 2, *size)
    valid = torch.ones(2, *size, dtype=torch.bool)
    valid[1, :1] = False
    output = model(volume, valid=valid, generator=generator())
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert output.prediction is not None
    stride = model.backbone.stages[-1].stride
    assert output.prediction.shape[2:] == (quotient(size, stride) if target == "features" else size)


def test_padding_is_no_target() -> None:
    """A site of padding alone does not count; one with a valid voxel does."""
    model = make(target="features")
    volume = noise(1, 2, 32, 32, 32)
    valid = torch.ones(1, 32, 32, 32, dtype=torch.bool)
    valid[0, :, :, 4:] = False
    valid[0, ::16, :, 4] = True  # of every other row of sites along z, also the second
    output = model(volume, valid=valid, generator=generator())
    patches = output.step.views[0].patches
    pooled = F.max_pool3d(valid[:, None].double(), 4) > 0
    assert patches.scored.any()
    assert not patches.scored.all()
    shown = pooled.expand(1, 12, 8, 8, 8)
    boxes = shown.unflatten(4, (4, 2)).unflatten(3, (4, 2)).unflatten(2, (4, 2))
    expected = boxes.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(0, 3).flatten(1, 3)
    assert torch.equal(patches.scored, expected[patches.positions])
