"""`mim` says where its two levels come out as one granularity, and its advice helps."""

from __future__ import annotations

from typing import Any

import pytest

from ssl3d import ExperimentSpec


@pytest.mark.parametrize(
    ("size", "patch", "cells", "advice"),
    [
        ("M", 128, "4 × 4 × 4", "global_block [2, 2, 2] with local_block 1, or a patch from"),
        ("L", 160, "5 × 5 × 5", "give two: a patch from 160 × 160 × 192 voxels, with blocks left"),
    ],
)
@pytest.mark.parametrize("views", ["single", "nested"])
def test_blocks_of_one_size_at_both_levels_are_said(
    size: str, patch: int, cells: str, advice: str, views: str
) -> None:
    parts: dict[str, Any] = {"backbone": {"name": "resunet", "size": size}, "views": views}
    data = {"volumes": "none", "patch": patch}
    with pytest.warns(UserWarning, match="one granularity and not two") as said:
        ExperimentSpec(**parts, masker="mim", data=data)
    (message,) = (str(one.message) for one in said)
    assert f"on {cells} cells both levels hide blocks of 1 × 1 × 1 cells, that is 32" in message
    assert advice in message


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("patch", "options"),
    [
        ([128, 128, 128], {"global_block": 2, "local_block": 1}),
        ([160, 160, 192], {}),
        ([192, 192, 192], {}),
    ],
)
def test_what_is_advised_gives_two_granularities(patch: list[int], options: dict[str, Any]) -> None:
    data = {"volumes": "none", "patch": patch}
    ExperimentSpec(backbone={"name": "resunet"}, masker={"name": "mim", **options}, data=data)
    with pytest.warns(UserWarning, match="What would give two: local_block auto"):
        ExperimentSpec(
            backbone={"name": "resunet"},
            masker={"name": "mim", "global_block": 2, "local_block": 2},
            data={"volumes": "none", "patch": 128},
        )
