"""The model that is fine-tuned: any backbone takes any task, recipes train what they say."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from ssl3d.geometry import times
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.tasks.finetune.groups import finetune_groups, first_stages
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.recipe import Recipe
from ssl3d.testing.asks_nothing import asks_nothing
from ssl3d_plugins.decoders import UNet
from ssl3d_plugins.monai_encoders.config import Monai
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.tasks import Classification, Regression, Segmentation
from ssl3d_plugins.waveformer import WaveFormer

BACKBONES = {
    "waveformer": WaveFormer(widths=(16, 16), depths=(1, 1)),
    "resunet": ResUNet(widths=(4, 8), blocks=(1, 1)),
    "monai": Monai(network={"name": "segresnet", "init_filters": 8, "blocks_down": (1, 1)}),
}
TASKS = {
    "segmentation": Segmentation(labels={"a": 1}),
    "classification": Classification(labels=("a", "b")),
    "regression": Regression(values=("age",)),
}


@dataclass
class Crops:
    volume: Tensor
    labels: Tensor | None
    targets: Tensor | None
    samples: tuple[int, ...] = (0, 1)
    counts: tuple[int, ...] = (1, 1)
    valid: Tensor | None = None


def model_of(backbone: BackboneConfig, task: TaskConfig, recipe: str = "plain") -> FinetuneModel:
    torch.manual_seed(0)
    stages = backbone.stages()
    decoder = None
    if task.per == "voxel":
        decoder = UNet().build(stages=stages, out_channels=len(task.outputs()), sparse=False)
    return FinetuneModel(
        backbone.build(in_channels=1),
        decoder=decoder,
        task=task.build(stages=stages),
        recipe=Recipe(name=recipe),
        steps=40,
        samples_per_step=2,
    )


def batch_for(model: FinetuneModel) -> Crops:
    random = torch.Generator().manual_seed(0)
    volume = torch.randn(2, 1, *times(model.backbone.divisor, (2, 2, 2)), generator=random)
    if model.decoder is not None:
        return Crops(volume, (volume[:, 0] > 0).short(), None)
    columns = len(model.task.config.columns())
    return Crops(volume, None, torch.tensor([[0.0], [1.0]]).expand(2, columns))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_learns_every_task(backbone: str, task: str) -> None:
    model = model_of(BACKBONES[backbone], TASKS[task]).train()
    batch = batch_for(model)
    groups = finetune_groups(model)
    optimizer = torch.optim.AdamW(groups, lr=3e-3)
    losses = []
    for _ in range(6):
        loss = model(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    predicted = model.eval().predict(batch.volume)
    count = len(TASKS[task].outputs())
    size = tuple(batch.volume.shape[2:]) if model.decoder is not None else ()
    assert predicted.shape == (2, count, *size)


def test_stages_of_parameters_follow_from_the_graph() -> None:
    backbone = ResUNet(widths=(4, 8, 8), blocks=(1, 1, 1)).build(in_channels=1)
    found = first_stages(backbone)
    for name, stage in found.items():
        want = 0 if ".stem." in name else int(name.split("stages.")[1].split(".")[0])
        assert stage == want
    assert all(p.grad is None for p in backbone.parameters())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_groups_name_part_and_depth(backbone: str) -> None:
    model = model_of(BACKBONES[backbone], TASKS["segmentation"])
    groups = finetune_groups(model)
    assert [g["part"] for g in groups] == sorted(g["part"] for g in groups)
    assert {g["depth"] for g in groups if g["part"] == "encoder"} == {0, 1}
    deepest = {
        id(p) for g in groups if (g["part"], g["depth"]) == ("encoder", 0) for p in g["params"]
    }
    stages = first_stages(model.backbone)
    for name, parameter in model.backbone.named_parameters():
        assert (id(parameter) in deepest) == (stages[name] == 1), name
    shrinking = {id(p) for g in groups if g["decays"] for p in g["params"]}
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert id(parameter) not in shrinking


def changed(model: FinetuneModel, *, step: int) -> set[str]:
    """Parts that one step of the recipe changes."""
    model.train()
    before = copy.deepcopy(model.state_dict())
    batch = replace(batch_for(model), samples=(2 * step, 2 * step + 1))
    optimizer = torch.optim.SGD(finetune_groups(model), lr=1.0, momentum=0.9)
    for group in optimizer.param_groups:
        group["lr"] = model.recipe.rate_of(group, step=step, steps=model.steps)
    model(batch)["loss"].backward()
    if step == 0 and model.recipe.name == "sawtooth":
        assert all(not p.grad.any() for p in model.backbone.parameters())
    optimizer.step()
    after = model.state_dict()
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    ("recipe", "first", "later"),
    [
        ("plain", {"backbone", "decoder"}, {"backbone", "decoder"}),
        ("sawtooth", {"decoder"}, {"backbone", "decoder"}),
        ("frozen", {"decoder"}, {"decoder"}),
    ],
)
def test_a_recipe_trains_what_it_says(recipe: str, first: set[str], later: set[str]) -> None:
    for step, parts in ((0, first), (20, later)):
        model = model_of(BACKBONES["resunet"], TASKS["segmentation"], recipe)
        assert changed(model, step=step) == parts


def test_a_frozen_encoder_keeps_its_statistics() -> None:
    backbone = ResUNet(widths=(4, 8), blocks=(1, 1), norm="batch")
    model = model_of(backbone, TASKS["segmentation"], "frozen")
    assert changed(model, step=3) == {"decoder"}


@pytest.mark.parametrize("recipe", ["plain", "sawtooth", "frozen"])
@pytest.mark.parametrize("task", TASKS)
def test_a_step_asks_the_device_nothing(task: str, recipe: str) -> None:
    """Device meta has no values, and refuses every question about them."""
    model = model_of(BACKBONES["resunet"], TASKS[task], recipe).train()
    batch = batch_for(model)
    with_padding = replace(
        batch,
        volume=batch.volume.to("meta"),
        valid=torch.ones(batch.volume[:, 0].shape, dtype=torch.bool, device="meta"),
        labels=None if batch.labels is None else batch.labels.to("meta"),
        targets=None if batch.targets is None else batch.targets.to("meta"),
    )
    model.to("meta")
    with asks_nothing():
        found = model(with_padding)
        found["loss"].backward()
    assert all(value.device.type == "meta" for value in found.values())
