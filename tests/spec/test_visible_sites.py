"""Instance norm with few visible sites is a warning, with one an error that names a patch."""

from __future__ import annotations

from ssl3d.geometry import Triple, product
from ssl3d.spec.visible_sites import few_sites
from ssl3d_plugins.resunet import ResUNet

STAGES = ResUNet(size="M").instance_norm_stages()
CELL = (32, 32, 32)


def a_quarter(grid: Triple) -> int:
    return max(1, product(grid) // 4)


def test_enough_sites() -> None:
    assert few_sites(STAGES, cell=CELL, grid=(4, 4, 4), visible_cells=a_quarter) is None
    assert few_sites((), cell=CELL, grid=(1, 1, 2), visible_cells=a_quarter) is None


def test_one_site_is_an_error_that_names_the_smallest_patch() -> None:
    found = few_sites(STAGES, cell=CELL, grid=(1, 2, 2), visible_cells=a_quarter)
    assert found is not None
    assert found.level == "error"
    assert "sees 1 visible site of a sample" in found.message
    assert "shows 2 is 64 × 64 × 64 voxels" in found.message


def test_few_sites_are_a_warning() -> None:
    found = few_sites(STAGES, cell=CELL, grid=(2, 3, 3), visible_cells=a_quarter)
    assert found is not None
    assert found.level == "warning"
    assert "sees 4 visible sites" in found.message
    assert "shows 8 is 64 × 128 × 128 voxels" in found.message


def test_larger_cells_hold_more_sites() -> None:
    found = few_sites(STAGES, cell=(64, 64, 64), grid=(1, 1, 2), visible_cells=a_quarter)
    assert found is None


def test_the_shown_patch_does_show_enough() -> None:
    for grid in [(1, 1, 2), (1, 2, 2), (2, 2, 2), (1, 3, 3)]:
        found = few_sites(STAGES, cell=CELL, grid=grid, visible_cells=a_quarter)
        assert found is not None
        needed, size = found.message.split("patch that shows ")[1].split(" is ")
        z, y, x = (int(edge) // 32 for edge in size.split(" voxels")[0].split(" × "))
        assert a_quarter((z, y, x)) >= int(needed)
        assert all(a >= b for a, b in zip((z, y, x), grid, strict=True))


def test_no_patch_is_named_where_none_would_do() -> None:
    found = few_sites(STAGES, cell=CELL, grid=(1, 1, 2), visible_cells=lambda _: 1)
    assert found is not None
    assert found.level == "error"
    assert "patch" not in found.message
    assert "hide less, or use batch norm" in found.message
