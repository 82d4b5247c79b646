"""What a MinkowskiEngine wheel is built for: it fits one torch, one Python, one CUDA."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from typing import Final

from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError

STEP: Final = "look at torch"
DEFAULT_ARCHITECTURES: Final = {
    12: ("7.0", "7.5", "8.0", "8.6", "9.0+PTX"),
    13: ("7.5", "8.0", "8.6", "9.0", "10.0", "12.0+PTX"),
}
"""Compute capabilities for a machine that shows no GPU (an image build), by major CUDA version."""


@dataclass(frozen=True)
class BuildTarget:
    """Everything that makes one compiled wheel unfit for another environment.

    Attributes:
        torch: full version, for example `2.13.0+cpu`.
        python: interpreter tag, for example `cp311`.
        cuda: version that torch was built with, for example `12.1`; None builds for CPU.
        architectures: compute capabilities, for example `("9.0",)`; empty for CPU.
        machine: processor family, for example `x86_64`.
    """

    torch: str
    python: str
    cuda: str | None
    architectures: tuple[str, ...]
    machine: str

    def cache_key(self, edits: str) -> str:
        """Name of the cache folder for this target and this version of the source edits."""
        device = f"cu{self.cuda}-sm{'_'.join(self.architectures)}" if self.cuda else "cpu"
        return f"torch{self.torch}-{self.python}-{device}-{self.machine}-{edits}"

    def describe(self) -> str:
        """One line for people."""
        device = f"CUDA {self.cuda} ({', '.join(self.architectures)})" if self.cuda else "CPU"
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
            STEP,
            reason=f"torch cannot be imported: {error}",
            advice="install torch 2.4.1 or later in this environment first",
        ) from error
    version: str | None = torch.version.cuda
    if cuda and version is None:
        raise InstallError(
            STEP,
            reason=f"--cuda was given, but torch {torch.__version__} was built without CUDA",
            advice="install a CUDA build of torch first, or build for CPU with --cpu",
        )
    version = None if cuda is False else version
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    architectures = _architectures(version) if version else ()
    return BuildTarget(torch.__version__, python, version, architectures, platform.machine())


def _architectures(cuda: str) -> tuple[str, ...]:
    import torch

    asked = re.findall(r"[^;,\s]+", os.environ.get("TORCH_CUDA_ARCH_LIST", ""))
    devices = range(torch.cuda.device_count())
    seen = sorted({torch.cuda.get_device_capability(index) for index in devices})
    known = asked or [f"{major}.{minor}" for major, minor in seen]
    if not known and int(cuda.split(".")[0]) not in DEFAULT_ARCHITECTURES:
        raise InstallError(
            STEP,
            reason=f"no GPU is visible and CUDA {cuda} has no default list of GPU architectures",
            advice="set TORCH_CUDA_ARCH_LIST to the compute capability of your GPU, such as 9.0",
        )
    return tuple(known) or DEFAULT_ARCHITECTURES[int(cuda.split(".")[0])]
