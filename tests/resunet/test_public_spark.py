"""SparK's published choices, by options, give the loss and the gradients of its public code.

Constants are those of github.com/keyu-tian/SparK at commit a63e386, whose 2D layers, masks and
patches were given a third axis, around the residual encoder of dynamic_network_architectures 0.4.4,
in double precision, with the same weights and hidden cells.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from formula import fill, wave

from ssl3d import ExperimentSpec
from ssl3d.masked.model import PretrainModel

LETTER: dict[str, Any] = {
    "normalisation": {"channels": "joint", "unbiased": True},
    "losses": [{"name": "mse", "over": "patches"}],
}
# Norm of densify and its epsilon; the loss; of some gradients the sum of squares, and the product
# with a wave.
BATCH = {
    "backbone.encoder.stem.convs.0.conv.weight": (1.3031894781573849e-06, 0.0005059135089835003),
    "backbone.encoder.stages.1.blocks.1.conv2.norm.weight": (
        6.21993096503127e-10,
        2.2791767491813354e-05,
    ),
    "decoder.densify.2.projection.weight": (0.003312128279449854, 0.02651179090634386),
    "decoder.ups.0.block.3.weight": (1.5480416557917298e-05, -0.0007449022622318011),
    "decoder.ups.2.up.weight": (0.18126786733150574, 0.01697014406688311),
    "decoder.head.bias": (0.02047092433271223, -0.12249629411062317),
}
LAYER = {
    "backbone.encoder.stem.convs.0.conv.weight": (0.000552042375189801, -0.01323956522761036),
    "backbone.encoder.stages.1.blocks.1.conv2.norm.weight": (
        3.993175434920965e-06,
        -0.0009753634758578556,
    ),
    "decoder.densify.0.token": (1.4695930989199488e-07, 9.174732057085296e-05),
    "decoder.densify.2.projection.weight": (0.0006243730045698815, -0.03463958354060044),
    "decoder.ups.0.block.3.weight": (0.23504858531763895, -0.0012611618038303844),
    "decoder.ups.2.up.weight": (0.0017986738155149993, -0.003555412383555041),
    "decoder.head.bias": (0.1382992060607744, -0.2275287502054023),
}
PUBLIC = [("batch", 1e-5, 1.0218478192551503, BATCH), ("layer", 1e-6, 1.071528261937792, LAYER)]


def model_of(norm: str, epsilon: float, **changed: Any) -> PretrainModel:
    """SparK on a small residual encoder, with weights from a formula."""
    decoder = {"name": "spark", "width": 64, "head_stride": 1, "norm": norm, "epsilon": epsilon}
    spec = ExperimentSpec(
        backbone={
            "name": "resunet",
            "widths": [4, 6, 8],
            "blocks": [1, 2, 1],
            "strides": [2, 2, 2],
            "norm": "batch",
        },
        data={"channels": {"a": "a*", "b": "b*"}, "patch": 16},
        masker={"name": "random", "ratio": 0.5},
        decoder={**decoder, "narrows": "last", "initial": "spark", **changed.pop("decoder", {})},
        **{**LETTER, **changed},
    )
    model = fill(spec.build())
    assert isinstance(model, PretrainModel)
    return model


def loss_of(model: PretrainModel) -> torch.Tensor:
    """Of two samples of which unequal numbers of cells are hidden."""
    visible = torch.zeros(2, 8, dtype=torch.bool)
    visible[0, [0, 3, 6]] = True
    visible[1, [1, 2, 4, 5, 7]] = True
    volume = wave((2, 2, 16, 16, 16), number=3)
    return model(volume, hidden=~visible.view(2, 2, 2, 2), generator=torch.Generator()).loss


@pytest.mark.parametrize(("norm", "epsilon", "loss", "gradients"), PUBLIC)
def test_loss_and_gradients_of_the_public_code(
    norm: str, epsilon: float, loss: float, gradients: dict[str, tuple[float, float]]
) -> None:
    model = model_of(norm, epsilon)
    found = loss_of(model)
    assert found.item() == pytest.approx(loss, rel=1e-12)
    found.backward()
    for name, expected in gradients.items():
        gradient = model.get_parameter(name).grad
        assert gradient is not None
        product = (gradient * wave(tuple(gradient.shape), number=5)).sum()
        values = float(gradient.square().sum()), float(product)
        assert values == pytest.approx(expected, rel=1e-8), name


@pytest.mark.parametrize(
    "changed",
    [
        {"normalisation": {"channels": "each", "unbiased": True}},
        {"normalisation": {"channels": "joint", "unbiased": False}},
        {"losses": [{"name": "mse", "over": "samples"}]},
        {"decoder": {"epsilon": 1e-2}},
    ],
    ids=["each channel", "biased", "over samples", "epsilon"],
)
def test_each_option_matters(changed: dict[str, Any]) -> None:
    norm, epsilon, loss, _ = PUBLIC[1]
    found = float(loss_of(model_of(norm, epsilon, **changed)).detach())
    assert found != pytest.approx(loss, rel=1e-7)


def test_initial_values_are_the_public_ones() -> None:
    """Of the decoder: its convolutions, transposed ones, head and tokens."""
    options = {"width": 256, "head_stride": 1, "narrows": "last"}
    spec = ExperimentSpec(
        backbone={"name": "resunet", "size": "S"},
        data={"volumes": "nowhere", "patch": 96},
        decoder={**options, "initial": "spark"},
    )
    decoder = spec.build().decoder
    assert decoder is not None
    weights = decoder.state_dict()
    for name in ("ups.0.block.0.weight", "ups.0.block.3.weight", "ups.1.block.0.weight"):
        assert float(weights[name].std()) == pytest.approx(0.02, rel=0.05)
    assert float(weights["head.weight"].std()) == pytest.approx(0.02, rel=0.5)
    up = weights["ups.0.up.weight"]  # (I, O, 4, 4, 4): torch counts I as what goes out
    assert float(up.std()) == pytest.approx((2 / (up.shape[0] * 64)) ** 0.5, rel=0.05)
    for name in ("ups.0.up.bias", "head.bias"):
        assert not weights[name].any()
    token = weights["densify.0.token"]
    assert float(token.abs().max()) <= 0.02
    assert float(token.std()) == pytest.approx(0.0108, rel=0.15)  # of a normal cut at one deviation
    plain = spec.replace(decoder={**options, "initial": "torch"}).build().decoder
    assert plain is not None
    # What densify projects by starts as torch's layers do, there and here.
    assert float(weights["densify.1.projection.weight"].std()) == pytest.approx(
        float(plain.state_dict()["densify.1.projection.weight"].std()), rel=0.05
    )
