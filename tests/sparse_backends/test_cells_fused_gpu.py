"""The fused way as a GPU computes it; nothing of this has run on one yet."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton", reason="Triton has no wheel for this system")

from interpreted import fused_where_it_fits

from ssl3d.sparse import CellGrid
from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d.testing.sparse_cases import draw_inputs, half_visible, make_case
from ssl3d.testing.sparse_run import assert_close, assert_same, run
from ssl3d_plugins.sparse_cells import Cells, backend
from ssl3d_plugins.sparse_cells.trial import trouble
from ssl3d_plugins.sparse_dense import Dense

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(autouse=True)
def _fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it computes the operation, in single precision that is single."""
    monkeypatch.setattr(backend, "choose", fused_where_it_fits)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


class TestFusedOnCuda(SparseBackendConformance):
    config, device, dtype, tolerance = Cells(), "cuda", torch.float32, 1e-4


def test_it_is_used() -> None:
    assert trouble(torch.device("cuda")) == ""


@pytest.mark.parametrize("channels", [1, 3, 32, 96, 320, 512])
@pytest.mark.parametrize("edge", [1, 2, 8, 32])
@pytest.mark.parametrize(
    ("dtype", "tf32", "tolerance"),
    [(torch.float32, False, 1e-5), (torch.float32, True, 5e-3), (torch.bfloat16, False, 3e-2)],
    ids=["single", "tf32", "bf16"],
)
def test_sizes_of_networks(
    dtype: torch.dtype,
    tf32: bool,
    tolerance: float,
    edge: int,
    channels: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against the definition in double precision on the GPU, and the same bits each time."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", tf32)
    visible = half_visible(samples=1)[:, :2, :2, :2]
    case = make_case("conv3d", 3, edge=edge, channels=(channels, 32))
    inputs = draw_inputs(case, visible)
    cells = CellGrid(visible, cell=case.cell).prepared().to("cuda")
    want = run(Dense().build(), case, inputs, cells=cells)
    got = run(Cells().build(), case, inputs, cells=cells, dtype=dtype)
    assert_close({name: v.double() for name, v in got.items()}, want, tolerance=tolerance)
    assert_same(run(Cells().build(), case, inputs, cells=cells, dtype=dtype), got)
