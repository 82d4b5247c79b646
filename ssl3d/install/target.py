"""What a MinkowskiEngine wheel is built for: it fits one torch, one Python, one CUDA."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from typing import Final

from ssl3d.install.errors import InstallError

# Compute capabilities for a machine that shows no GPU (an image build), by major CUDA version.
DEFAULT_ARCHITECTURES: Final = {
    12: ("7.0", "7.5", "8.0", "8.6", "9.0+PTX"),
    13: ("7.5", "8.0", "8.6", "9.0", "10.0", "12.0+PTX"),
}


@dataclass(frozen=True)
class BuildTarget:
    """Everything that makes one compiled wheel unfit for another environment.

    Attributes:
        torch: full version, for example ``"2.13.0+cpu"``.
        python: interpreter tag, for example ``"cp311"``.
        cuda: version that torch was built with, for example ``"12.1"``; None builds for CPU.
        architectures: compute capabilities, for example ``("9.0",)``; empty for CPU.
        machine: processor family, for example ``"x86_64"``.
    """

    torch: str
    python: str
    cuda: str | None
    architectures: tuple[str, ...]
    machine: str

    def cache_key(self, edits: str) -> str:
        """Name of the cache folder for this target and this version of the source edits."""
        device = "cpu"
        if self.cuda is not None:
            device = f"cu{self.cuda}-sm{'_'.join(self.architectures)}"
        return f"torch{self.torch}-{self.python}-{device}-{self.machine}-{edits}"

    def describe(self) -> str:
        """One line for the progress display."""
        device = "CPU"
        if self.cuda is not None:
            device = f"CUDA {self.cuda} ({', '.join(self.architectures)})"
        return f"torch {self.torch}, {self.python}, {device}"


def detect_target(*, cuda: bool | None = None) -> BuildTarget:
    """The target that fits the running interpreter and its torch.

    Args:
        cuda: build for CUDA or for CPU; None takes what torch was built with.

    Raises:
        InstallError: torch is missing, or CUDA is asked for and torch was built without it.
    """
    try:
        import torch
    except ImportError as error:
        raise InstallError(
            "look at torch",
            reason=f"torch cannot be imported: {error}",
            advice="install torch 2.4.1 or later in this environment first",
        ) from error

    version: str | None = torch.version.cuda
    if cuda and version is None:
        raise InstallError(
            "look at torch",
            reason=f"--cuda was given, but torch {torch.__version__} was built without CUDA",
            advice="install a CUDA build of torch first, or build for CPU with --cpu",
        )
    if cuda is False:
        version = None
    return BuildTarget(
        torch=str(torch.__version__),
        python=f"cp{sys.version_info.major}{sys.version_info.minor}",
        cuda=version,
        architectures=() if version is None else _architectures(version),
        machine=platform.machine(),
    )


def _architectures(cuda: str) -> tuple[str, ...]:
    asked = tuple(re.split(r"[;,\s]+", os.environ.get("TORCH_CUDA_ARCH_LIST", "").strip("; ,")))
    if asked != ("",):
        return asked

    import torch

    capabilities = sorted(
        {torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())}
    )
    if capabilities:
        return tuple(f"{major}.{minor}" for major, minor in capabilities)
    major = int(cuda.split(".")[0])
    if major not in DEFAULT_ARCHITECTURES:
        raise InstallError(
            "look at torch",
            reason=f"no GPU is visible and CUDA {cuda} has no default list of GPU architectures",
            advice="set TORCH_CUDA_ARCH_LIST to the compute capability of your GPU, such as 9.0",
        )
    return DEFAULT_ARCHITECTURES[major]
