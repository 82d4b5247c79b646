"""Primus as the start of a segmentation model, and `eva` as a decoder that is taken over."""

from __future__ import annotations

import torch

from ssl3d.tasks.finetune.build import build_model, default_decoder, fill_decoder
from ssl3d.tasks.finetune.recipe import Recipe
from ssl3d_plugins.primus import Eva, Primus
from ssl3d_plugins.tasks import Segmentation

SMALL = Primus(width=12, depth=1, heads=2, patch=4, volume=8)


def test_it_learns_to_segment_with_the_decoder_patch() -> None:
    backbone = SMALL.build(in_channels=1)
    assert default_decoder(backbone.stages).name == "patch"
    model = build_model(
        backbone,
        task=Segmentation(labels={"ball": 1}),
        decoder=None,
        recipe=Recipe(name="scratch"),
        steps=10,
        samples_per_step=2,
    )
    volume = torch.randn(2, 1, 8, 12, 8)
    out = model.decoder(model.backbone(volume))
    assert out.volume.shape == (2, 2, 8, 12, 8)
    out.volume.square().mean().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_a_pre_trained_eva_is_taken_over_but_for_its_way_to_voxels() -> None:
    config = Eva(depth=1, volume=8)
    before = config.build(stages=SMALL.stages(), out_channels=1, sparse=True)
    after = config.build(stages=SMALL.stages(), out_channels=3, sparse=False)
    report = fill_decoder(after, weights=before.state_dict())
    assert report.unexpected == ("token",)
    assert all(name.startswith("voxels.") for name in report.missing)
    for name, value in after.eva.state_dict().items():
        assert torch.equal(value, before.eva.state_dict()[name]), name
