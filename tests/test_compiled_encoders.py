"""Encoders are one compiled graph where shapes are static, and compute what they do eagerly.

By torch's compiler without its code generator, and with the choice of a GPU: halo boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from ssl3d import ExperimentSpec
from ssl3d.geometry import times
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.tasks.pretrain.step_time import noise_batch
from ssl3d_plugins.monai_encoders import Monai
from ssl3d_plugins.monai_encoders.segresnet_options import SegResNet
from ssl3d_plugins.primus import Primus
from ssl3d_plugins.resunet import ResUNet
from ssl3d_plugins.sparse_cells import Cells, choice
from ssl3d_plugins.sparse_cells.across import HALO
from ssl3d_plugins.sparse_cells.ways_file import device_name, versions, write_table
from ssl3d_plugins.sparse_cells.ways_table import Shape, WaysTable
from ssl3d_plugins.waveformer import WaveFormer

BACKBONES: dict[str, BackboneConfig] = {
    "waveformer": WaveFormer(widths=(12, 24), depths=(1, 1), heads=(1, 2)),
    "waveformer paper": WaveFormer(preset="paper", widths=(6, 12), depths=(1, 1), heads=(1, 2)),
    "resunet": ResUNet(widths=(4, 8), blocks=(1, 1)),
    "resunet batch": ResUNet(widths=(4, 8), blocks=(1, 1), norm="batch"),
    "primus": Primus(width=12, depth=1, heads=2, patch=4, volume=(16, 16, 16)),
    "monai": Monai(network=SegResNet(init_filters=4, num_groups=2, blocks_down=(1, 1))),
}


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(choice, "_on_a_cpu", lambda op, **_: HALO)  # noqa: ARG005
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def graphs() -> int:
    return int(counters["stats"]["unique_graphs"])


def gradients(
    encode: Callable[[Tensor, CellGrid], list[Tensor]],
    volume: Tensor,
    cells: CellGrid,
    *,
    model: nn.Module,
) -> list[Tensor]:
    """Feature maps, and the gradients of all parameters."""
    maps = encode(volume, cells)
    loss = torch.stack([one.square().mean() for one in maps]).sum()
    return [*maps, *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.parametrize("name", BACKBONES)
def test_an_encoder_is_one_graph_and_computes_the_same(name: str) -> None:
    """With tables and all, and the second batch of other cells needs no other graph."""
    config = BACKBONES[name]
    torch.manual_seed(0)
    model = config.build(in_channels=1).double().train()
    cell = times(config.total_stride, (2, 2, 2))
    visible = torch.tensor([[1, 0, 1, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 1, 0, 1]]).bool()
    grids = [visible.view(2, 2, 2, 2), visible.flip(0, 1).view(2, 2, 2, 2)]
    sparse_backend = Cells().build()

    def encode(volume: Tensor, cells: CellGrid) -> list[Tensor]:
        given = SparseVolume.from_dense(volume, cells=cells, backend=sparse_backend)
        return [one.features for one in model(given)]

    compiled: Any = torch.compile(encode, fullgraph=True, dynamic=False, backend="aot_eager")
    for i, shown in enumerate(grids):
        generator = torch.Generator().manual_seed(i)
        volume = torch.randn(2, 1, *times(cell, (2, 2, 2)), generator=generator).double()
        results = [
            gradients(one, volume, CellGrid(shown, cell=cell).prepared(), model=model)
            for one in (compiled, encode)  # it finds nothing that was made before
        ]
        for found, eager in zip(*results, strict=True):
            scale = float(eager.detach().abs().max())
            torch.testing.assert_close(found, eager, rtol=0, atol=1e-11 * max(scale, 1e-3))
    assert graphs() == 1


def test_a_measured_table_leaves_one_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked while the graph is traced."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rows = {Shape(64, 8, strided, False): {"halo": 1.0, "pairs": 2.0} for strided in (False, True)}
    where = device_name(torch.device("cpu"))
    write_table(WaysTable(device=where, date="2026-01-01", versions=versions(), rows=rows))
    test_an_encoder_is_one_graph_and_computes_the_same("resunet")


@pytest.mark.parametrize("name", ["waveformer", "resunet"])
def test_a_step_is_at_most_three_graphs(name: str) -> None:
    spec = ExperimentSpec(
        backbone=BACKBONES[name],
        masker={"name": "random", "ratio": 0.5},
        data={"volumes": "none", "patch": 16, "batch_size": 2},
        cell=4,
    )
    model = spec.build()
    losses = []
    for compiled in (False, True):
        if compiled:
            for part in (model.backbone, model.decoder):
                assert part is not None
                part.compile(backend="eager", fullgraph=True)
        for _ in range(1 + compiled):
            batch = noise_batch(model, spec=spec, samples=2, patch=spec.data.patch)
            loss = model.step(batch, generator=torch.Generator()).loss
            loss.backward()
        losses.append(loss.detach())
    torch.testing.assert_close(*losses)
    assert 1 <= graphs() <= 3
