"""Activations that are computed again change no bit of a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.run.checkpoint_file import read_checkpoint

MakeSpec = Callable[..., ExperimentSpec]
RES = {"name": "resunet", "widths": [4, 8], "blocks": [1, 1], "norm": "batch"}


PUBLISHED = {
    "backbone": {
        "name": "waveformer",
        "widths": [6, 12],
        "depths": [1, 1],
        "preset": "paper",
        "drop_path": 0.5,
    },
    "decoder": {"name": "waveformer", "refine_details": True},
}


@pytest.mark.parametrize(
    "changes",
    [{}, {"backbone": RES}, PUBLISHED],
    ids=["waveformer", "batch norm", "details and drop path"],
)
def test_a_run_is_the_same_with_activations_computed_again(
    make_spec: MakeSpec, tmp_path: Path, changes: dict[str, Any]
) -> None:
    ends = []
    for again in (False, True):
        out = tmp_path / str(again)
        trainer = {"steps": 2, "checkpoint_activations": again}
        ssl3d.pretrain(make_spec(**changes, trainer=trainer), out=out)
        ends.append(read_checkpoint(out / "checkpoints/step-000000002.ckpt")["state_dict"])
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_less_is_kept_for_the_backward_pass(make_spec: MakeSpec) -> None:
    from ssl3d.run.again import compute_again

    kept = []
    for again in (False, True):
        model, sizes = make_spec().build(), dict[int, int]()
        if again:
            compute_again(model.backbone)

        def note(tensor: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            output = model(torch.rand(1, 1, 32, 32, 32), generator=torch.Generator().manual_seed(0))
        kept.append(sum(sizes.values()))
        assert output.loss.isfinite()
    assert kept[1] < 0.8 * kept[0]
