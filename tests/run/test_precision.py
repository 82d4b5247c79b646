"""The precision of a run follows from its devices; nothing here needs a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fake_gpus import Capability, fake_gpus

from ssl3d.run.launch import launched
from ssl3d.run.precision import autocast, in_words, kept_precision, lacks, tf32, with_precision
from ssl3d.run.run_error import RunError
from ssl3d.run.slow_torch import slow_torch
from ssl3d.run.trainer_spec import TrainerSpec

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
VOLTA, PASCAL, AMPERE, HOPPER = (7, 0), (6, 1), (8, 0), (9, 0)


@pytest.mark.parametrize(
    ("gpus", "options", "precision"),
    [
        ((), {}, "32"),
        ((HOPPER,), {}, "bf16"),
        ((AMPERE, HOPPER), {}, "bf16"),
        ((VOLTA,), {}, "16"),
        ((PASCAL,), {}, "32"),
        ((AMPERE, VOLTA), {}, "16"),
        ((AMPERE, VOLTA), {"devices": 1}, "bf16"),
        ((AMPERE, VOLTA), {"devices": -1}, "16"),
        ((HOPPER,), {"accelerator": "cpu"}, "32"),
        ((HOPPER,), {"precision": "32"}, "32"),
        ((PASCAL,), {"precision": "16"}, "16"),
    ],
)
def test_auto_is_what_all_devices_have(
    monkeypatch: pytest.MonkeyPatch,
    gpus: tuple[Capability, ...],
    options: dict[str, Any],
    precision: str,
) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    fake_gpus(monkeypatch, *gpus)
    found = with_precision(TrainerSpec(**options))
    assert found.precision == precision
    assert with_precision(found) == found


def test_ranks_that_something_else_started_may_have_any_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_gpus(monkeypatch, AMPERE, VOLTA)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert with_precision(TrainerSpec(devices=1)).precision == "16"


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"precision": "32"}, False),
        ({"precision": "32", "tf32": True}, True),
        ({"precision": "bf16"}, True),
        ({"precision": "16"}, True),
        ({"precision": "bf16", "tf32": False}, False),
        ({"precision": "bf16", "deterministic": True}, False),
    ],
)
def test_tf32_goes_with_half_precision(options: dict[str, Any], allowed: bool) -> None:
    assert with_precision(TrainerSpec(**options)).tf32 is allowed


@pytest.mark.parametrize("allowed", [True, False])
def test_products_and_convolutions_agree_on_tf32(allowed: bool) -> None:
    def state() -> tuple[str, bool, bool]:
        products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
        precision = torch.get_float32_matmul_precision()
        return precision, products.allow_tf32, convolutions.allow_tf32

    before = state()
    with tf32(allowed, device=CUDA):
        assert state() == ("high" if allowed else "highest", allowed, allowed)
    assert state() == before
    with tf32(allowed, device=CPU):
        assert state() == before


def test_a_run_that_goes_on_keeps_its_precision() -> None:
    run = TrainerSpec(precision="bf16")
    assert kept_precision(TrainerSpec(steps=5), of=run) == TrainerSpec(steps=5, precision="bf16")
    assert kept_precision(TrainerSpec(precision="32"), of=run).precision == "32"


def test_what_a_device_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus(monkeypatch, VOLTA)
    assert lacks("bf16", device=CUDA) == "Fake 7.0 has no bf16: use 16 or 32"
    assert lacks("16", device=CPU) == "16 needs a GPU; given a CPU: use 32 or bf16"
    fine = [("16", CUDA), ("32", CUDA), ("bf16", CPU), ("32", CPU)]
    assert [lacks(precision, device=device) for precision, device in fine] == [None] * 4


def test_it_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus(monkeypatch, HOPPER)
    auto = with_precision(TrainerSpec())
    assert in_words(auto, device=CUDA, asked="auto") == (
        "On cuda:0, Fake 9.0, precision bf16 (auto), TF32"
    )
    exact = with_precision(TrainerSpec(precision="32"))
    assert in_words(exact, device=CUDA, asked="32").endswith("precision 32, no TF32")
    assert in_words(exact, device=CPU, asked="auto") == "On the CPU, precision 32 (auto)"


def test_autocast_is_that_of_the_precision() -> None:
    for precision, dtype in (("32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(precision, device=CPU):
            assert torch.nn.functional.linear(torch.ones(1, 2), torch.ones(3, 2)).dtype == dtype


@pytest.mark.parametrize(
    ("version", "cuda", "slow"),
    [
        ("2.9.0+cu128", "12.8", True),
        ("2.9.1", "13.0", True),
        ("2.9.1+cpu", None, False),
        ("2.8.0", "12.8", False),
        ("2.13.0", "13.0", False),
    ],
)
def test_a_slow_torch_is_known(
    monkeypatch: pytest.MonkeyPatch, version: str, cuda: str | None, slow: bool
) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    found = slow_torch()
    assert (found is not None) is slow
    assert found is None or (version in found and "2.10" in found)


def test_unlike_devices_on_several_machines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl3d.run.launch.of_all_ranks", lambda own: [own, "bf16"])
    with pytest.raises(RunError, match=r"auto is 32 and bf16 on unlike devices: say which"):
        launched(TrainerSpec(accelerator="cpu", devices=1))
