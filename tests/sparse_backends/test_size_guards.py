"""Sizes past what the libraries count with are refused, on whichever side of the operation."""

from __future__ import annotations

import pytest
import torch

from ssl3d.sparse import CellGrid
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.testing.sparse_cases import Case, draw_inputs, make_case
from ssl3d.testing.sparse_run import run
from ssl3d_plugins.sparse_minkowski import Minkowski
from ssl3d_plugins.sparse_spconv import Spconv

# One cell; 8 sites coarse, 64 fine.
DOWN = make_case("conv3d", 3, 2, edge=4, channels=(4, 4))
SAME = make_case("conv3d", 3, edge=4, channels=(2, 4))
UP = make_case("conv_transpose3d", 3, 2, edge=2, channels=(4, 2))
POOL = make_case("max_pool3d", 3, 2, edge=4, channels=(4, 4))
VALUES = 64 * 4


def compute(config: SparseBackendConfig, case: Case) -> None:
    visible = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    cells = CellGrid(visible, cell=case.cell)
    run(config.build(), case, draw_inputs(case, visible), cells=cells)


@pytest.mark.parametrize("case", [DOWN, SAME, UP, POOL], ids=str)
def test_minkowski_counts_the_sites_of_the_larger_side(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("MinkowskiEngine", reason="needs: ssl3d install minkowski")
    most = "ssl3d_plugins.sparse_minkowski.backend.MOST_VALUES"
    monkeypatch.setattr(most, VALUES)
    compute(Minkowski(), case)
    monkeypatch.setattr(most, VALUES - 1)
    with pytest.raises(ValueError, match=r"^64 sites with 4 channels.*up to 255 values"):
        compute(Minkowski(), case)


@pytest.mark.parametrize(("case", "coarse"), [(DOWN, 8), (SAME, 64), (UP, 8)], ids=str)
def test_spconv_counts_values_and_its_kernel_map(
    case: Case, coarse: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("spconv", reason='needs: pip install "ssl3d[spconv-cu126]"')
    pairs = 2 * 27 * coarse
    for bound, number, what in (
        ("MOST_VALUES", VALUES, "values"),
        ("MOST_PAIRS", pairs, "numbers in the kernel map"),
    ):
        with monkeypatch.context() as patch:
            name = f"ssl3d_plugins.sparse_spconv.backend.{bound}"
            patch.setattr(name, number)
            compute(Spconv(), case)
            patch.setattr(name, number - 1)
            with pytest.raises(ValueError, match=f"^{number} {what}.*up to {number - 1} here"):
                compute(Spconv(), case)
