"""Norms with few visible sites are a warning, with one an error that names a patch."""

from __future__ import annotations

import warnings

import pytest

from ssl3d import ExperimentSpec
from ssl3d.geometry import Triple, product
from ssl3d.plugin.spec_error import SpecError
from ssl3d.tasks.pretrain.visible_sites import few_sites
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


def small_resunet(patch: int, **parts: object) -> ExperimentSpec:
    backbone = {"name": "resunet", "widths": (8, 16, 16), "norm": "instance"}
    options = {"backbone": backbone, "masker": {"name": "random", "ratio": 0.75}, **parts}
    return ExperimentSpec(data={"volumes": "none", "patch": patch}, **options)


def test_a_spec_with_one_visible_site_is_refused() -> None:
    with pytest.raises(SpecError, match=r"data\.patch: instance norm .* 1 visible site "):
        small_resunet(8, masker={"name": "mim", "global_ratio": 0.9, "global_block": 1})


def test_a_spec_with_few_visible_sites_warns() -> None:
    with pytest.warns(UserWarning, match=r"data\.patch: instance norm .* sees 2 visible sites"):
        small_resunet(8)


def test_a_spec_with_enough_visible_sites_or_a_dense_pass_is_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small_resunet(16)
        small_resunet(8, encoder_input="zeroed")


def test_the_decoders_norm_counts_too() -> None:
    def spec(**decoder: object) -> ExperimentSpec:
        return ExperimentSpec(
            backbone={"name": "resunet", "widths": (4, 8), "blocks": (1, 1), "norm": "batch"},
            masker={"name": "random", "ratio": 0.5},
            data={"volumes": "none", "patch": (2, 2, 4)},
            decoder=decoder,
        )

    spec(norm="layer")
    spec(norm="instance", densify=False)
    with pytest.raises(SpecError, match=r"instance norm at stride 2 .* sees 1 visible site"):
        spec(norm="instance")


def batch_resunet(backbone: object = None, **parts: object) -> ExperimentSpec:
    """Of two cells one is visible, and holds one site of the coarsest stage."""
    data = {"volumes": "none", "patch": (4, 4, 8), "batch_size": parts.pop("batch_size", 1)}
    options = {
        "backbone": backbone or {"name": "resunet", "widths": (4, 8, 8), "norm": "batch"},
        "masker": {"name": "random", "ratio": 0.5},
        **parts,
    }
    return ExperimentSpec(data=data, **options)


@pytest.mark.parametrize(
    "backbone",
    [
        {"name": "resunet", "widths": (4, 8, 8), "norm": "batch"},
        {
            "name": "monai",
            "network": {
                "name": "segresnet",
                "init_filters": 8,
                "norm": "batch",
                "blocks_down": (1, 1, 1),
            },
        },
    ],
)
def test_batch_norm_over_one_visible_site_is_refused(backbone: object) -> None:
    with pytest.raises(
        SpecError, match=r"data\.patch: batch norm .* sees 1 visible site of a batch"
    ) as e:
        batch_resunet(backbone)
    assert "larger data.batch_size" in str(e.value)


def test_batch_norm_counts_the_whole_batch_on_all_ranks() -> None:
    for more in ({"batch_size": 2}, {"trainer": {"devices": 2}}, {"trainer": {"nodes": 2}}):
        with pytest.warns(UserWarning, match=r"batch norm .* sees 2 visible sites of a batch of 2"):
            batch_resunet(**more)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch_resunet(batch_size=8)
        batch_resunet(encoder_input="zeroed")


def test_batch_norm_of_the_decoder_counts_too() -> None:
    backbone = {"name": "waveformer", "widths": (8, 16), "depths": (1, 1), "heads": (1, 2)}
    with pytest.raises(SpecError, match=r"batch norm at stride 4 .* sees 1 visible site"):
        batch_resunet(backbone, decoder={"norm": "batch"})
