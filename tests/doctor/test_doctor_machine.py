"""What is said of torch, CUDA and the driver, for machines that this one is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ssl3d.doctor.check import perform
from ssl3d.doctor.machine import CUDA, driver_version, machine_checks
from ssl3d.doctor.result import Result


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Pretend that torch was built for `cuda` and that `driver` is installed."""

    def pretend(*, cuda: str | None, driver: str | None, gpus: int = 0, error: str = "") -> None:
        def init() -> None:
            if error:
                raise RuntimeError(error)

        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpus))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\necho {driver}\nexit {0 if driver else 9}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return pretend


def look(*, need_cuda: bool = False) -> Result:
    (result,) = [perform(c) for c in machine_checks(need_cuda=need_cuda) if c.name == CUDA]
    return result


def test_a_cpu_build_leaves_gpu_checks_out(machine) -> None:  # type: ignore[no-untyped-def]
    machine(cuda=None, driver=None)
    result = look()
    assert (result.status, result.passed) == ("not there", True)
    assert result.detail == "CPU build: GPU checks left out"
    assert not look(need_cuda=True).passed


def test_a_cpu_build_beside_a_driver_says_what_to_install(machine) -> None:  # type: ignore[no-untyped-def]
    machine(cuda=None, driver="550.54.15")
    assert "550.54.15" in look().detail
    assert "CUDA build of torch" in look().advice


def test_no_driver_is_no_failure(machine) -> None:  # type: ignore[no-untyped-def]
    """As in the build of a container."""
    machine(cuda="12.1", driver=None)
    assert look().status == "not there"
    assert "CUDA 12.1, there is no NVIDIA driver" in look().detail


def test_a_driver_that_does_not_serve_torch_is_a_failure(machine) -> None:  # type: ignore[no-untyped-def]
    why = "The NVIDIA driver on your system is too old (found version 11040)."
    machine(cuda="12.6", driver="470.82", error=why)
    result = look()
    assert result.status == "failed"
    assert why in result.detail
    assert "update the driver" in result.advice


def test_hidden_gpus_are_named_as_such(machine, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    machine(cuda="12.6", driver="550.54", error="No CUDA GPUs are available")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert look().status == "not there"
    assert "CUDA_VISIBLE_DEVICES=''" in look().detail


def test_a_gpu_that_torch_was_not_compiled_for_is_a_failure(  # type: ignore[no-untyped-def]
    machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_kernel(*_: object, device: str) -> None:
        raise RuntimeError(f"no kernel image is available for execution on {device}")

    machine(cuda="12.6", driver="550.54", gpus=1)
    monkeypatch.setattr(torch, "ones", no_kernel)
    assert look().status == "failed"
    assert "no kernel image is available for execution on cuda:0" in look().detail


def test_the_driver_is_read_from_its_tool(machine) -> None:  # type: ignore[no-untyped-def]
    machine(cuda=None, driver="550.54.15")
    assert driver_version() == "550.54.15"
    machine(cuda=None, driver=None)
    assert driver_version() is None


def test_torch_is_imported_first() -> None:
    check = next(iter(machine_checks(need_cuda=False)))
    assert check.gate
    assert perform(check).detail.startswith(torch.__version__)


@pytest.mark.parametrize(("version", "status"), [("2.9.1+cu128", "failed"), ("2.10.0", "ok")])
def test_a_torch_that_is_slow_on_a_gpu_is_refused(
    machine, monkeypatch: pytest.MonkeyPatch, version: str, status: str
) -> None:  # type: ignore[no-untyped-def]
    machine(cuda="12.8", driver="570", gpus=1)
    monkeypatch.setattr(torch, "__version__", version)
    (found,) = [perform(c) for c in machine_checks(need_cuda=False) if "3D" in c.name]
    assert found.status == status
    assert ("four times slower" in found.detail) is (status == "failed")
