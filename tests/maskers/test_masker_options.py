"""Options of the maskers: what they accept, what they say, and that they load no torch."""

import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from ssl3d.geometry import product
from ssl3d.testing.masker_checks import MaskerUnderTest
from ssl3d_plugins.maskers import MiM, Random, ssl3d_components
from ssl3d_plugins.maskers.blocks import auto_block, finer_block, hidden_count

MASKERS = [Random(), MiM()]


def messages(config, grid):
    return {problem.option: problem.message for problem in config.problems(grid=grid)}


@pytest.mark.parametrize("ratio", [0, 1, -0.1, 1.5, float("nan"), "most", (0.9, 0.6), (0.1,), True])
def test_a_ratio_outside_0_to_1_is_one_error_that_says_what_is_allowed(ratio):
    with pytest.raises(ValidationError, match=r"above 0 and below 1") as caught:
        Random(ratio=ratio)
    assert [error["loc"] for error in caught.value.errors()] == [("ratio",)]


@pytest.mark.parametrize("block", [0, -1, 1.5, "large", (2, 2), (1, 1, 0), True])
def test_a_bad_block_is_one_error_that_says_what_is_allowed(block):
    with pytest.raises(ValidationError, match=r'"auto", one whole number') as caught:
        MiM(global_block=block)
    assert [error["loc"] for error in caught.value.errors()] == [("global_block",)]


@pytest.mark.parametrize("weights", [(1.0, 0.0), (-1.0, 1.0), (1.0, float("inf")), (1.0,)])
def test_level_weights_are_two_positive_numbers(weights):
    with pytest.raises(ValidationError, match="level_weights"):
        MiM(level_weights=weights)


@pytest.mark.parametrize("passes", ["single", "nested"])
def test_how_often_the_encoder_runs_is_said_by_the_views(passes):
    with pytest.raises(ValidationError, match=rf"views='{passes}'.*'local_ratio': 0.3"):
        MiM(local_ratio=0.3, passes=passes)


def test_weights_are_those_of_the_levels():
    assert Random().weights() == (1.0,)
    assert MiM(level_weights=(1.0, 0.25)).weights() == (1.0, 0.25)


def test_one_number_is_a_cube_and_lists_from_yaml_are_accepted():
    assert Random(block=2).block == (2, 2, 2)
    assert Random.model_validate({"ratio": [0.6, 0.9], "block": [1, 2, 2]}) == Random(
        ratio=(0.6, 0.9), block=(1, 2, 2)
    )


@pytest.mark.parametrize("config", MASKERS, ids=lambda config: config.name)
def test_a_grid_of_one_cell_names_the_smallest_volume(config):
    (message,) = messages(config, (1, 1, 1)).values()
    assert "smallest volume has two cells" in message


@pytest.mark.parametrize("grid", [(2, 2, 2), (4, 4, 4)])
def test_a_block_of_four_cells_cannot_work_on_small_grids(grid):
    message = messages(Random(block=4), grid)["block"]
    assert "4 × 4 × 8" in message
    assert "auto" in message
    with pytest.raises(ValueError, match="4 × 4 × 8"):
        MaskerUnderTest(Random(block=4)).draw(grid)


def test_the_smallest_grid_for_a_block_works():
    assert not messages(Random(block=4), (4, 4, 8))
    assert not messages(Random(block=4), (8, 4, 4))


def test_a_block_that_does_not_divide_the_grid_is_told_what_does():
    message = messages(Random(block=2), (2, 3, 6))["block"]
    assert "y 1 or 3," in message
    assert "x 1 or 2 or 3 or 6" in message


def test_local_blocks_must_divide_global_blocks():
    config = MiM(global_block=3, local_block=2)
    assert "z 1 or 3" in messages(config, (6, 6, 6))["local_block"]
    with pytest.raises(ValueError, match="coarse blocks of 3 × 3 × 3"):
        MaskerUnderTest(config).draw((6, 6, 6))


@pytest.mark.parametrize(
    ("grid", "block"),
    [
        ((6, 6, 6), (2, 2, 2)),
        ((12, 12, 12), (4, 4, 4)),
        ((2, 8, 8), (2, 2, 2)),
        ((1, 8, 8), (1, 2, 2)),
        ((4, 4, 4), (1, 1, 1)),
        ((7, 7, 7), (1, 1, 1)),
        ((1, 1, 2), (1, 1, 1)),
    ],
)
def test_auto_block(grid, block):
    assert auto_block(grid) == block
    assert block == (1, 1, 1) or product(grid) // product(block) >= 16


def test_finer_block_is_the_largest_proper_part_of_each_axis():
    assert finer_block((1, 2, 6)) == (1, 1, 3)


def test_half_way_counts_go_up():
    assert [hidden_count(0.5, blocks=n) for n in (3, 5, 7)] == [2, 3, 4]
    assert hidden_count(0.29, blocks=50) == 15  # 14.499999999999998 in floating point


def test_options_and_components_need_no_torch():
    code = (
        "import sys; from ssl3d_plugins.maskers import MiM, Random, ssl3d_components; "
        "list(MiM().problems(grid=(2, 2, 2))); Random.model_json_schema(); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_plugin_declares_both():
    assert {config.component_name() for config in ssl3d_components()} == {"random", "mim"}


@pytest.mark.parametrize("config", MASKERS, ids=lambda config: config.name)
class TestCalls:
    def test_hideable_of_a_wrong_shape_or_type(self, config):
        right = torch.ones(2, 2, 3, dtype=torch.bool)
        for wrong in (right[:1], right[None], right.float(), right.to("meta")):
            with pytest.raises(ValueError, match=r"boolean tensor of shape \(2, 2, 3\) on the CPU"):
                MaskerUnderTest(config).draw((2, 2, 3), hideable=wrong)

    def test_the_default_dtype_does_not_matter(self, config):
        draws = []
        for dtype in (torch.float64, torch.float32):
            before = torch.get_default_dtype()
            torch.set_default_dtype(dtype)
            try:
                draws.append(MaskerUnderTest(config).draw((3, 4, 5)))
            finally:
                torch.set_default_dtype(before)
        assert all(map(torch.equal, draws[0].levels, draws[1].levels))
