"""What the library promises, on a GPU. Nothing here measures time.

python -m pytest benchmarks/gpu/test_gpu.py -n 4 -q -p no:cacheprovider
SSL3D_TEST_DEVICE=cpu ...      a dry run; `-k` picks, for example `-k "Chosen or step"`
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import test_no_leak as no_leak
import torch
from internals import (
    HALO,
    PAIRS,
    Batch,
    ExperimentSpec,
    SparseVolume,
    cells_backend,
    given_batch,
    pair_tables,
)

import ssl3d
from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d_plugins.sparse_cells import Cells
from ssl3d_plugins.sparse_dense import Dense

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "pyproject.toml").exists())
DEVICE = os.environ.get("SSL3D_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no CUDA device"),
]
WAVE = {"name": "waveformer", "widths": [16, 32], "depths": [1, 1], "heads": [1, 2]}
RES = {"name": "resunet", "widths": [8, 16, 16], "blocks": [1, 1, 1]}
TWO = pytest.mark.parametrize("network", [WAVE, RES], ids=["waveformer", "resunet"])


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Single precision is single: torch's convolutions take TF32 on a GPU by default."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, products.allow_tf32
    cudnn.allow_tf32 = products.allow_tf32 = False
    yield
    cudnn.allow_tf32, products.allow_tf32 = before


class TestChosen(SparseBackendConformance):
    config, device, dtype, tolerance = Cells(), DEVICE, torch.float32, 1e-4


class TestHalo(SparseBackendConformance):
    config, device = Cells(), DEVICE

    @pytest.fixture(autouse=True)
    def _always(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cells_backend, "choose", lambda _op, **_: HALO)


class TestPairs(SparseBackendConformance):
    config, device = Cells(), DEVICE

    @pytest.fixture(autouse=True)
    def _always(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cells_backend, "choose", lambda _op, **_: PAIRS)
        monkeypatch.setattr(pair_tables, "MOST_PAIRS", 1 << 30)


class TestDense(SparseBackendConformance):
    config, device = Dense(), DEVICE


def made(model: Any, *, dtype: torch.dtype = torch.float32) -> Batch:
    """Views as a loader makes them, on the CPU."""
    volume, valid = no_leak.inputs(model)
    parts = {"views": model.views, "masker": model.masker, "generator": drawn()}
    return given_batch(volume.to(dtype), valid=valid, hidden=None, **parts)


def drawn() -> torch.Generator:
    """What a loss may draw from, alike in every call."""
    return torch.Generator().manual_seed(0)


BACKBONES = no_leak.variants("backbone", no_leak.SMALL)
VIEWS = [("random", "single"), ("mim", "single"), ("mim", "nested")]


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize(("masker", "views"), VIEWS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_hidden_voxels_change_no_bit(backbone: Any, masker: str, views: str, bf16: bool) -> None:
    parts = {"backbone": backbone, "masker": masker, "views": views}
    model = no_leak.build(sparse_backend="cells", **parts).to(DEVICE)
    batch = made(model).to(DEVICE)
    for training in (False, True):

        def run(given: Batch, training: bool = training) -> list[Any]:
            fresh = copy.deepcopy(model).train(training)
            with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16, enabled=bf16):
                output = fresh.step(given, generator=drawn())
            return [no_leak.seen_by(one) for one in output.step.views]

        before = run(batch)
        for number, one in enumerate(batch.views):
            hidden = one.hidden.voxels(model.cell)[0].cpu()
            for by in ("noise", "NaN and Inf"):
                other = no_leak.replaced(one.volume.cpu(), hidden, by=by).to(DEVICE)
                after = run(no_leak.with_volume(batch, other, in_place_of=one.volume))
                for part, again in zip(before[number], after[number], strict=True):
                    assert torch.isfinite(part).all()
                    assert torch.equal(part, again)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_step_is_what_it_is_on_a_cpu(backbone: Any) -> None:
    """Losses and every gradient, in double precision: nothing depends on the device."""
    parts = {"masker": "mim", "views": "nested"}
    model = no_leak.build(backbone=backbone, sparse_backend="cells", **parts).double()
    batch = made(model, dtype=torch.float64)
    results = []
    for device in ("cpu", DEVICE):
        one = copy.deepcopy(model).to(device)
        out = one.step(batch.to(device), generator=drawn())
        out.loss.backward()
        gradients = {n: p.grad.cpu() for n, p in one.named_parameters() if p.grad is not None}
        results.append({**gradients, **{k: v.detach().cpu() for k, v in out.losses.items()}})
    assert results[0].keys() == results[1].keys()
    for name, want in results[0].items():
        bound = 1e-8 * max(1.0, float(want.abs().max()))
        assert float((results[1][name] - want).abs().max()) <= bound, name


@pytest.mark.parametrize("backbone", BACKBONES)
def test_with_nothing_hidden_a_step_is_dense(backbone: Any) -> None:
    sparse = no_leak.build(backbone=backbone, sparse_backend="cells")
    dense = no_leak.build(backbone=backbone, sparse_backend="cells", encoder_input="zeroed")
    sparse, dense = sparse.double().to(DEVICE), dense.double().to(DEVICE)
    state = {k: v for k, v in sparse.state_dict().items() if not k.endswith(".token")}
    dense.load_state_dict(state)
    volume = no_leak.inputs(sparse)[0].double().to(DEVICE)
    nothing = torch.zeros(no_leak.BATCH, *no_leak.GRID, dtype=torch.bool)
    outs = [m(volume, hidden=nothing, generator=drawn()) for m in (sparse, dense)]
    for visible, whole in zip(outs[0].stages, outs[1].stages, strict=True):
        full = visible.to_dense() if isinstance(visible, SparseVolume) else visible
        torch.testing.assert_close(full, whole, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("precision", ["32", "bf16", "16"])
@TWO
def test_a_short_training_run(network: dict[str, Any], precision: str, tmp_path: Path) -> None:
    """Through the trainer, with what a user calls; its encoder works on the device."""
    if DEVICE == "cpu" and precision == "16":
        pytest.skip("half precision needs a GPU")
    accelerator = "gpu" if DEVICE == "cuda" else "cpu"
    every = {"validate_every": 3, "checkpoint_every": 3, "log_every": 1}
    spec = ExperimentSpec(
        backbone=network,
        masker="mim",
        losses=["mse", {"name": "info_nce", "weight": 0.1}],
        data={
            "volumes": str(ROOT / "examples/data/hippocampus"),
            "patch": 32,
            "batch_size": 4,
            "workers": 0,
            "cache": {"folder": str(tmp_path / "cache")},
        },
        optimizer={"ema": 0.9},
        trainer={
            "steps": 6,
            "precision": precision,
            "accelerator": accelerator,
            "devices": 1,
            "pictures": 1,
            "loggers": [],
            **every,
        },
    )
    assert ssl3d.pretrain(spec, out=tmp_path / "run").finished
    encoder = ssl3d.load_encoder(tmp_path / "run").to(DEVICE)
    maps = encoder(torch.zeros(1, 1, 32, 32, 32, device=DEVICE))
    assert all(m.isfinite().all() and m.device.type == DEVICE for m in maps)


@TWO
def test_gradients_repeat_bit_for_bit(network: dict[str, Any]) -> None:
    """What resuming bitwise rests on. cuDNN's weight gradients may break it: then say so."""
    model = no_leak.build(backbone=network, sparse_backend="cells", masker="mim").to(DEVICE)
    batch = made(model).to(DEVICE)
    found = []
    for _ in range(3):
        model.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, torch.bfloat16):
            out = model.step(batch, generator=drawn())
        out.loss.backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
