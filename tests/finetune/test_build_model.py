"""Models from configs: default decoders, what does not fit, decoders that were pre-trained."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ssl3d.geometry import Stage
from ssl3d.measure.overlap import overlap_row
from ssl3d.tasks.finetune.build import build_model, default_decoder, fill_decoder, model_problems
from ssl3d.tasks.finetune.groups import finetune_groups
from ssl3d.tasks.finetune.recipe import Recipe
from ssl3d_plugins.decoders import Spark, UNet
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.tasks import Classification, Segmentation
from ssl3d_plugins.waveformer import WaveFormer, Wavelet

STAGES = (Stage((2, 2, 2), 8), Stage((4, 4, 4), 12))
TASK = Segmentation(labels={"ball": 1})
RESUNET = ResUNet(widths=(8, 16), blocks=(1, 1))
PLAIN = {"recipe": Recipe(name="scratch"), "steps": 60, "samples_per_step": 2}


def test_a_backbone_of_one_stage_gets_patch_and_others_unet() -> None:
    assert default_decoder(STAGES).name == "unet"
    assert default_decoder(STAGES[:1]).name == "patch"


def test_what_does_not_fit_is_said_before_anything_is_built() -> None:
    cases = Classification(labels=("a",))
    ((option, message),) = model_problems(cases, decoder=UNet(), stages=STAGES)
    assert option == "decoder"
    assert "leave it out" in message
    odd = (Stage((2, 2, 2), 8), Stage((3, 4, 4), 8))
    ((option, message),) = model_problems(TASK, decoder=None, stages=odd)
    assert option == "decoder.name"
    assert "3 × 4 × 4" in message
    assert not list(model_problems(TASK, decoder=None, stages=STAGES))


@pytest.mark.parametrize("config", [UNet(deep_supervision=True), Spark(), Wavelet()])
def test_a_pre_trained_decoder_is_taken_over_but_for_heads_and_tokens(config) -> None:
    before = config.build(stages=STAGES, out_channels=1, sparse=True)
    after = config.build(stages=STAGES, out_channels=3, sparse=False)
    heads = {n: v.clone() for n, v in after.state_dict().items() if n.startswith(("head", "deep."))}
    report = fill_decoder(after, weights=before.state_dict())
    own = after.state_dict()
    assert set(report.missing) == set(heads)
    assert all("token" in name for name in report.unexpected)
    assert all(torch.equal(own[n], v) for n, v in heads.items())
    shared = set(own) - set(heads)
    assert shared == set(report.loaded)
    assert all(torch.equal(own[n], before.state_dict()[n]) for n in shared)
    with pytest.raises(ValueError, match="nothing was copied"):
        fill_decoder(after, weights={"else": torch.zeros(1)})


def test_a_seed_starts_the_decoder_alike_whatever_the_encoder_holds() -> None:
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        backbone = RESUNET.build(in_channels=1)
        torch.manual_seed(5)
        model = build_model(backbone, task=TASK, decoder=None, **PLAIN)
        assert model.decoder is not None
        found.append(model.decoder.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@dataclass
class Balls:
    volume: Tensor
    labels: Tensor
    targets: None = None
    valid: None = None
    samples: tuple[int, ...] = (0, 1)
    counts: tuple[int, ...] = (1, 1)


WAVE = WaveFormer(widths=(16, 32), depths=(1, 1))


@pytest.mark.parametrize(
    ("backbone", "decoder", "dice"),
    [
        (RESUNET, None, 0.95),
        (WAVE, Wavelet(), 0.75),
        (WAVE, Wavelet(details="handed_on", width=16), 0.75),
    ],
    ids=["unet", "wavelet", "wavelet, details handed on"],
)
def test_two_cases_are_overfitted(backbone, decoder, dice) -> None:
    place = torch.stack(torch.meshgrid(*(torch.arange(16.0),) * 3, indexing="ij"))
    middles = torch.tensor([[5.0, 6, 7], [10, 8, 7]])
    balls = torch.stack(
        [(place - m.view(3, 1, 1, 1)).square().sum(0).sqrt() < 4.5 for m in middles]
    )
    noise = torch.randn(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = Balls(balls[:, None] + noise, balls.short())
    torch.manual_seed(0)
    model = build_model(backbone.build(in_channels=1), task=TASK, decoder=decoder, **PLAIN).train()
    optimizer = torch.optim.AdamW(finetune_groups(model), lr=1.0)
    for step in range(60):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * model.recipe.rate_of(group, step=step, steps=60)
        optimizer.zero_grad()
        model(batch)["loss"].backward()
        optimizer.step()
    for p, truth in zip(model.eval().predict(batch.volume), batch.labels, strict=True):
        row = overlap_row(
            model.task.decided(p), truth=truth, legend={"ball": 1}, spacing=(1.0, 1.0, 1.0)
        )
        assert row["dice"] > dice
