"""Files are read as tensors and plain values; nothing in them runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ssl3d.weights import read_weights

WEIGHTS = {"a.weight": torch.arange(4.0).reshape(2, 2), "a.bias": torch.ones(2)}


def same(read: dict[str, torch.Tensor]) -> bool:
    return list(read) == list(WEIGHTS) and all(torch.equal(read[n], v) for n, v in WEIGHTS.items())


def test_safetensors(tmp_path: Path) -> None:
    file = tmp_path / "encoder.safetensors"
    save_file(WEIGHTS, file)
    read = read_weights(str(file))
    assert all(torch.equal(read[n], v) for n, v in WEIGHTS.items())


@pytest.mark.parametrize("wrapper", [None, "network_weights", "state_dict"])
def test_checkpoints(tmp_path: Path, wrapper: str | None) -> None:
    file = tmp_path / "checkpoint.pth"
    torch.save({wrapper: WEIGHTS, "epoch": 3} if wrapper else WEIGHTS, file)
    assert same(read_weights(file))


def test_names_from_several_devices(tmp_path: Path) -> None:
    file = tmp_path / "parallel.pth"
    torch.save({"state_dict": {f"module.{n}": v for n, v in WEIGHTS.items()}}, file)
    assert same(read_weights(file))


def test_a_training_log_of_numpy_numbers_is_no_obstacle(tmp_path: Path) -> None:
    log = {"loss": [np.float64(0.5), np.float32(0.25)], "epoch": np.int64(3), "done": np.bool_(1)}
    file = tmp_path / "checkpoint_final.pth"
    torch.save({"network_weights": WEIGHTS, "logging": log}, file)
    before = torch.serialization.get_safe_globals()  # a set, in any order
    assert same(read_weights(file))
    assert set(torch.serialization.get_safe_globals()) == set(before)


class Payload:
    """What an attacker puts into a checkpoint."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.trace,)


def test_nothing_in_the_file_runs(tmp_path: Path) -> None:
    file = tmp_path / "evil.pth"
    torch.save({"state_dict": WEIGHTS, "payload": Payload(tmp_path / "ran")}, file)
    with pytest.raises(ValueError, match="can run code"):
        read_weights(file)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"this is no checkpoint")
    with pytest.raises(ValueError, match=name):
        read_weights(file)


def test_a_file_without_tensors_is_named(tmp_path: Path) -> None:
    file = tmp_path / "empty.pth"
    torch.save({"epoch": 3}, file)
    with pytest.raises(ValueError, match=r"empty\.pth: holds no named tensors"):
        read_weights(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.pth: no such file"):
        read_weights(tmp_path / "nowhere.pth")
