"""A wheel is reused only where everything that it was built for is the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
from ssl3d_plugins.sparse_minkowski.install.target import BuildTarget, detect_target

CUDA = BuildTarget(
    torch="2.4.1", python="cp311", cuda="12.1", architectures=("8.0", "9.0+PTX"), machine="x86_64"
)


def test_cache_key_differs_by_everything_that_matters() -> None:
    others = [
        replace(CUDA, torch="2.13.0"),
        replace(CUDA, python="cp312"),
        replace(CUDA, cuda="12.6"),
        replace(CUDA, cuda=None, architectures=()),
        replace(CUDA, architectures=("8.0",)),
        replace(CUDA, machine="aarch64"),
    ]
    keys = {target.cache_key("0123abcd") for target in [CUDA, *others]}
    keys.add(CUDA.cache_key("4567cdef"))
    assert len(keys) == len(others) + 2
    assert all("/" not in key for key in keys)


def test_detects_the_running_environment() -> None:
    target = detect_target(cuda=False)
    assert target.torch == torch.__version__
    assert target.cuda is None
    assert target.architectures == ()
    assert torch.__version__ in target.describe()


def test_takes_what_torch_was_built_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "12.1")
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0 9.0+PTX")
    target = detect_target()
    assert target.cuda == "12.1"
    assert target.architectures == ("8.0", "9.0+PTX")


def test_without_a_gpu_common_architectures_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    assert "9.0" in detect_target().architectures
    monkeypatch.setattr(torch.version, "cuda", "99.0")
    with pytest.raises(InstallError, match="TORCH_CUDA_ARCH_LIST"):
        detect_target()


def test_visible_gpus_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities = [(9, 0), (8, 6), (9, 0)]
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    assert detect_target().architectures == ("8.6", "9.0")


def test_cuda_with_a_cpu_torch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(InstallError, match="built without CUDA") as caught:
        detect_target(cuda=True)
    assert "--cpu" in caught.value.advice
