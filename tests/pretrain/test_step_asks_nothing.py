"""A training step asks its device nothing, from the batch to the optimiser."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from ssl3d import ExperimentSpec
from ssl3d.masked.inputs import given_batch
from ssl3d.run.optimizer import optimizer_of, parameter_groups
from ssl3d.tasks.pretrain.module import measurable
from ssl3d.testing.asks_nothing import asks_nothing

SMALL_WAVE = {"name": "waveformer", "widths": (8, 16), "depths": (1, 1), "heads": (1, 2)}
SMALL_RES = {"name": "resunet", "widths": (4, 6, 8), "blocks": (1, 1, 1)}
BACKBONES: dict[str, Any] = {
    "small waveformer": SMALL_WAVE,
    "waveformer": "waveformer",
    "blueprint": {"name": "waveformer", "preset": "blueprint"},
    "paper": {"name": "waveformer", "preset": "paper"},
    "small resunet": SMALL_RES,
    "resunet of batch norm": {**SMALL_RES, "norm": "batch"},
    "resunet S": {"name": "resunet", "size": "S"},
    "resunet L": {"name": "resunet", "size": "L"},
}
NEGATIVES = ("volume", "batch")
LOSSES: list[Any] = [
    "mse",
    "l1",
    *({"name": "info_nce", "label": f"of the {n}", "negatives": n} for n in NEGATIVES),
]


def step(
    *, padded: bool = True, present: torch.Tensor | None = None, patch: int = 16, **parts: Any
) -> None:
    """Forward, backward, clipping and AdamW of a batch that was made where data are."""
    data: dict[str, Any] = {"volumes": "none", "patch": patch}
    if present is not None:
        data = {"channels": {"a": "a*", "b": "b*"}, "patch": patch}
    spec = ExperimentSpec(data=data, sparse_backend="cells", **{"losses": LOSSES, **parts})
    with torch.device("meta"):
        model = spec.build()
    valid = torch.ones(2, *model.views.extent, dtype=torch.bool)
    if padded:
        valid[1, patch // 2 :] = False
    batch = given_batch(
        torch.rand(2, model.in_channels, *model.views.extent),
        valid=valid,
        present=present,
        hidden=None,
        views=model.views,
        masker=model.masker,
        generator=torch.Generator().manual_seed(0),
    ).to("meta")
    optimizer = optimizer_of(spec.optimizer, groups=parameter_groups(model))
    with asks_nothing():
        output = model.step(batch, generator=torch.Generator().manual_seed(0))
        output.loss.backward()
        found = measurable(model, output.step)
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert {name: value.shape for name, value in found.items()} == dict.fromkeys(found, (2,))
    assert all(value.shape == () for value in output.numbers.values())
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.filterwarnings("ignore:data.patch")
@pytest.mark.parametrize("name", BACKBONES)
def test_of_every_backbone(name: str) -> None:
    step(backbone=BACKBONES[name], patch=16 if "small" in name else 64)


@pytest.mark.parametrize("options", [{}, {"preset": "paper", "published": True, "image": 16}])
def test_of_the_published_decoder(options: dict[str, Any]) -> None:
    """And of what is left out of a sample in training."""
    backbone = {**SMALL_WAVE, "drop_path": 0.5, **options}
    step(backbone=backbone, decoder={"name": "waveformer", "refine_details": True})


@pytest.mark.parametrize("target", ["patch_normalised", "voxels"])
def test_where_samples_lack_channels(target: str) -> None:
    present = torch.tensor([[True, False], [True, True]])
    step(backbone=SMALL_WAVE, target=target, present=present)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("views", ["single", "nested"])
@pytest.mark.parametrize("target", ["patch_normalised", "voxels"])
def test_of_views_and_targets(views: str, target: str, padded: bool) -> None:
    step(backbone=SMALL_WAVE, masker="mim", views=views, target=target, padded=padded)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_of_three_levels(negatives: str, padded: bool) -> None:
    """The innermost are enlarged on the device."""
    between = {"name": "info_nce", "between": "views", "negatives": negatives}
    step(backbone=SMALL_WAVE, views="mask_in_mask", losses=[*LOSSES, between], padded=padded)


@pytest.mark.parametrize("encoder_input", ["visible", "zeroed"])
def test_of_primus(encoder_input: str) -> None:
    """Which has one stage: nothing to align."""
    primus = {"name": "primus", "width": 12, "depth": 2, "heads": 2, "patch": 4, "drop_path": 0.2}
    decoder = {"name": "eva", "volume": 16, "drop_path": 0.2}
    for padded in (False, True):
        step(
            backbone=primus,
            decoder=decoder,
            encoder_input=encoder_input,
            padded=padded,
            losses=["mse"],
        )


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("target", ["patch_normalised", "voxels", "features"])
def test_of_hidden_features(target: str, padded: bool) -> None:
    encoder = {**SMALL_RES, "widths": (4, 6), "blocks": (1, 1)}
    step(backbone=SMALL_WAVE, feature_encoder=encoder, target=target, padded=padded, patch=32)


@pytest.mark.parametrize("details", ["stage", "handed_on"])
@pytest.mark.parametrize("encoder_input", ["visible", "zeroed"])
def test_of_the_decoder_wavelet(encoder_input: str, details: str) -> None:
    decoder = {"name": "wavelet", "details": details, "width": 16}
    step(backbone=SMALL_WAVE, decoder=decoder, encoder_input=encoder_input)


def test_of_whole_volumes() -> None:
    step(backbone=SMALL_RES, encoder_input="zeroed")


def test_where_nothing_is_restored() -> None:
    step(backbone=SMALL_RES, losses=["info_nce"])
