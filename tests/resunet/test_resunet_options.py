"""Options of the residual encoder: presets, defaults, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ssl3d.geometry import Stage
from ssl3d_plugins.resunet import ResUNet


@pytest.mark.parametrize(
    ("size", "widths", "blocks"),
    [
        ("S", [32, 64, 128, 256, 320], [1, 3, 4, 6, 6]),
        ("M", [32, 64, 128, 256, 320, 320], [1, 3, 4, 6, 6, 6]),
        ("L", [32, 64, 128, 256, 320, 320], [1, 3, 4, 6, 6, 6]),
        ("XL", [32, 64, 128, 256, 320, 320], [1, 3, 4, 6, 6, 6]),
    ],
)
def test_presets(size: Any, widths: list[int], blocks: list[int]) -> None:
    plan = ResUNet(size=size).stage_options
    assert [p.width for p in plan] == widths
    assert [p.blocks for p in plan] == blocks
    assert [p.stride for p in plan] == [(1, 1, 1)] + [(2, 2, 2)] * (len(plan) - 1)
    assert {p.kernel for p in plan} == {(3, 3, 3)}


def test_a_size_refuses_other_widths_and_blocks() -> None:
    assert ResUNet().plan() == ResUNet(size="M").plan()
    assert ResUNet(widths=(4, 8)).size is None
    for options in ({"widths": (32, 64)}, {"blocks": (1, 1, 1, 1, 1, 1)}):
        with pytest.raises(ValidationError, match=r"size 'M' has .* leave out .* size as null"):
            ResUNet(size="M", **options)
    resolved = ResUNet(size="S").model_dump(mode="json")
    assert resolved["widths"] == [32, 64, 128, 256, 320]
    assert ResUNet.model_validate(resolved) == ResUNet(size="S")


def test_seven_stages_follow_the_published_rule() -> None:
    config = ResUNet(widths=(32, 64, 128, 256, 320, 320, 320))
    assert [p.blocks for p in config.stage_options] == [1, 3, 4, 6, 6, 6, 6]
    assert config.total_stride == (64, 64, 64)


def test_strides_per_axis() -> None:
    config = ResUNet(widths=(4, 8, 8), strides=(1, (1, 2, 2), 2), kernels=((1, 3, 3), 3, 3))
    assert config.stages() == (
        Stage((1, 1, 1), 4),
        Stage((1, 2, 2), 8),
        Stage((2, 4, 4), 8),
    )
    assert config.stage_options[0].kernel == (1, 3, 3)


def test_instance_norm_stages() -> None:
    assert ResUNet(widths=(4, 8)).instance_norm_stages() == ResUNet(widths=(4, 8)).stages()
    assert ResUNet(widths=(4, 8), norm="batch").instance_norm_stages() == ()
    assert ResUNet(widths=(4, 8)).batch_norm_stages() == ()
    assert (
        ResUNet(widths=(4, 8), norm="batch").batch_norm_stages() == ResUNet(widths=(4, 8)).stages()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (4, 8), "blocks": (1,)}, "blocks has 1 entries for 2 stages"),
        ({"widths": (4, 8), "strides": (1, 2, 2)}, "strides has 3 entries for 2 stages"),
        ({"widths": (4, 8), "kernels": (3, 2)}, r"kernels\[1\] is \(2, 2, 2\): use odd"),
        ({"widths": (4, 8), "strides": (1, 3)}, r"strides\[1\] is \(3, 3, 3\): use 1 or 2"),
        ({"widths": (4, 8), "strides": (1, 1)}, r"strides\[1\] .* stride 2 on one axis at least"),
        ({"widths": ()}, "at least 1 item"),
        ({"widths": (4, 0)}, "greater than 0"),
        ({"norm": "layer"}, "'instance' or 'batch'"),
        ({"size": "XXL"}, "'S', 'M', 'L' or 'XL'"),
        ({"depth": 4}, "depth"),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ResUNet(**options)


def test_options_need_no_torch(run_python: Any) -> None:
    code = (
        "import sys; from ssl3d_plugins.resunet import ResUNet; c = ResUNet(size='L'); "
        "c.stages(); c.operations(); assert 'torch' not in sys.modules"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
