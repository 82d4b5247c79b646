"""What the options mean and which are refused, without building anything."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from ssl3d.geometry import Stage, Triple
from ssl3d_plugins.waveformer import WaveFormer


def test_defaults() -> None:
    config = WaveFormer()
    assert config.stages() == (
        Stage(
            (2, 2, 2),
            48,
            details=(Stage((4,) * 3, 336), Stage((8,) * 3, 336), Stage((16,) * 3, 336)),
        ),
        Stage((4, 4, 4), 96, details=(Stage((8, 8, 8), 672), Stage((16, 16, 16), 672))),
        Stage((8, 8, 8), 192, details=(Stage((16, 16, 16), 1344),)),
        Stage((16, 16, 16), 384),
    )
    assert config.stage_levels == ((3, 3, 3), (2, 2, 2), (1, 1, 1), (0, 0, 0))
    assert config.stage_heads == (3, 6, 12, 24)
    assert config.stage_depths == (2, 2, 2, 2)
    assert config.divisor == config.total_stride == (16, 16, 16)


def test_the_number_of_stages_follows_from_the_widths() -> None:
    config = WaveFormer(widths=(32, 64, 128))
    assert config.total_stride == (8, 8, 8)
    assert config.stage_levels == ((2, 2, 2), (1, 1, 1), (0, 0, 0))
    assert config.stage_heads == (2, 4, 8)


@pytest.mark.parametrize(
    ("patch", "merging", "levels"),
    [
        (2, (2, (1, 2, 2), (1, 2, 2)), ((1, 3, 3), (0, 2, 2), (0, 1, 1), (0, 0, 0))),
        ((1, 4, 4), ((2, 2, 2), (2, 2, 2), 1), ((2, 2, 2), (1, 1, 1), (0, 0, 0), (0, 0, 0))),
        (2, (2, 3, 2), ((2, 2, 2), (1, 1, 1), (1, 1, 1), (0, 0, 0))),
    ],
)
def test_levels_follow_from_the_strides(
    patch: Any, merging: Any, levels: tuple[Triple, ...]
) -> None:
    assert WaveFormer(patch=patch, merging=merging).stage_levels == levels


@pytest.mark.parametrize(
    ("options", "path", "words"),
    [
        ({"widths": ()}, "widths", "at least 1"),
        ({"widths": (48, 0)}, "widths", "whole number from 1"),
        ({"depths": (2, 2)}, "depths", "2 entries for 4 widths"),
        ({"heads": (3, 6, 12)}, "heads", "3 entries for 4 widths"),
        ({"heads": (5, 6, 12, 24)}, "heads", "heads must divide the width, such as 4"),
        ({"heads": (12, 6, 12, 24)}, "positions", "at least 6 channels"),
        ({"patch": (2, 0, 2)}, "patch", "whole number from 1"),
        ({"merging": (2, 2, 2, 2)}, "merging", "each stage but the first, 3 in all"),
        ({"levels": (3, 2)}, "levels", "2 entries for 4 widths"),
        ({"levels": (3, 2, -1, 0)}, "levels", "whole number from 0"),
        ({"wavelet": "db22222"}, "wavelet", "Did you mean 'db2"),
        ({"wavelet": "morl"}, "wavelet", "unknown wavelet"),
        ({"wavelet": "dmey"}, "wavelet", "its inverse transform is off"),
        ({"details": "mpl"}, "details", "'identity', 'mlp' or 'depthwise'"),
        ({"preset": "paper", "wavelet": "db2"}, "attention", "haar and details identity"),
        ({"attention": "every_level", "details": "mlp"}, "attention", "given 'haar' and 'mlp'"),
        ({"window": (8, 8, 0)}, "window", "whole number from 1"),
        ({"mlp_ratio": 0}, "mlp_ratio", "greater than 0"),
    ],
)
def test_refused_options(options: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(ValidationError) as error:
        WaveFormer(**options)
    (found,) = error.value.errors()
    assert found["loc"][0] == path
    assert words in found["msg"]


def test_a_preset_sets_what_is_not_given_and_refuses_what_is_given_otherwise() -> None:
    config = WaveFormer(preset="paper")
    chosen = (config.attention, config.positions, config.ffn)
    assert chosen == ("every_level", "relative_bias", "conv_norm")
    assert WaveFormer.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(
        ValidationError, match="preset 'paper' has positions 'relative_bias', given"
    ):
        WaveFormer(preset="paper", positions="rope")
    with pytest.raises(ValidationError, match="preset 'blueprint' has ffn 'mlp', given 'conv'"):
        WaveFormer(preset="blueprint", ffn="conv")
    plain = WaveFormer().model_dump(exclude={"preset"})
    assert WaveFormer(preset="blueprint").model_dump(exclude={"preset"}) == plain
    assert WaveFormer(attention="every_level", positions="relative_bias").preset is None


def test_narrow_heads_are_fine_without_rotary_positions() -> None:
    config = WaveFormer(heads=(12, 6, 12, 24), positions="relative_bias")
    assert config.stage_heads[0] == 12


def test_levels_too_deep_for_the_cell() -> None:
    config = WaveFormer(levels=(4, 2, (2, 1, 1), 0))
    found = list(config.problems(cell=(16, 16, 16), sparse=True))
    assert [p.option for p in found] == ["levels.0"] * 3 + ["levels.2"]
    assert "level 4 on axis z" in found[0].message
    assert "allowed: 0 to 3" in found[0].message
    assert not list(config.problems(cell=(32, 32, 32), sparse=True))
    assert config.divisor == (32, 32, 32)


def test_long_filters_on_visible_cells() -> None:
    config = WaveFormer(wavelet="db4")
    (found,) = config.problems(cell=(16, 16, 16), sparse=True)
    assert found.option == "wavelet"
    assert "haar" in found.message
    assert not list(config.problems(cell=(16, 16, 16), sparse=False))
    assert not list(WaveFormer(wavelet="db1").problems(cell=(16, 16, 16), sparse=True))


@pytest.mark.parametrize("option", [{"wavelet": "db2"}, {"details": "mlp"}])
def test_options_that_would_change_nothing(option: dict[str, Any]) -> None:
    """Without a wavelet level there is no sub-band."""
    config = WaveFormer(widths=(48,), **option)
    (found,) = config.problems(cell=(2, 2, 2), sparse=False)
    assert found.option == next(iter(option))
    assert "no stage has a wavelet level" in found.message
    assert not list(WaveFormer(**option).problems(cell=(16, 16, 16), sparse=False))


def test_options_load_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from ssl3d_plugins.waveformer import WaveFormer; c = WaveFormer(); "
        "c.stages(); c.operations(); list(c.problems(cell=(16, 16, 16), sparse=True)); "
        "print(sorted({'torch', 'numpy', 'pywt', 'ptwt'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
