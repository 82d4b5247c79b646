"""torch, the CUDA that it was built for, and the driver."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

from ssl3d.doctor.check import Check, NotThere, Wrong

PART = "torch"
CUDA = "CUDA"

GET_TORCH = "pick the command for this system at https://pytorch.org/get-started"


def machine_checks(*, need_cuda: bool) -> Iterator[Check]:
    """Importing torch, and computing on every GPU."""
    yield Check(PART, "import", import_torch, f"install torch again: {GET_TORCH}", gate=True)
    advice = (
        "update the driver, or install a torch whose CUDA the driver and the GPU serve: "
        f"{GET_TORCH}"
    )
    yield Check(PART, CUDA, cuda, advice, device="cuda", required=need_cuda)
    yield Check(PART, "3D convolutions", fast_torch, f"install another torch: {GET_TORCH}")


def import_torch() -> str:
    """torch can be imported and computes."""
    import torch

    if float(torch.ones(3).sum()) != 3.0:
        raise Wrong("1 + 1 + 1 is not 3")
    return f"{torch.__version__}, {torch.get_num_threads()} threads"


def cuda() -> str:
    """torch reaches each GPU through the driver."""
    import torch

    built, driver = torch.version.cuda, driver_version()
    if built is None:
        found, advice = "CPU build: GPU checks left out", "install a CUDA build of torch"
        if driver is None:
            raise NotThere(found, advice=f"{advice} on a machine with a GPU")
        found += f", although the NVIDIA driver {driver} is here"
        raise NotThere(found, advice=f"{advice}: {GET_TORCH}")
    if driver is None and not torch.cuda.is_available():
        raise NotThere(
            f"torch is built for CUDA {built}, there is no NVIDIA driver: GPU checks left out",
            advice="make the driver of a GPU available here",
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and not torch.cuda.device_count():
        raise NotThere(
            f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU: GPU checks left out",
            advice="unset CUDA_VISIBLE_DEVICES, or name the GPUs to use",
        )
    torch.cuda.init()  # type: ignore[no-untyped-call]  # says why, where it cannot
    count = torch.cuda.device_count()
    for index in range(count):
        # A GPU that this torch was not compiled for fails here, at its first kernel.
        if float(torch.ones(1000, device=f"cuda:{index}").sum()) != 1000.0:
            raise Wrong(f"GPU {index} does not add up")
    gpus = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
    return f"torch built for CUDA {built}, driver {driver or 'unknown'}, {gpus}"


def fast_torch() -> str:
    """This version of torch is not known to be slow at 3D convolutions on CUDA devices."""
    from ssl3d.run.slow_torch import slow_torch

    slow = slow_torch()
    if slow is not None:
        raise Wrong(slow)
    return "not a version that is known to be slow on CUDA devices"


def driver_version() -> str | None:
    """Version of the NVIDIA driver, or None where its tool is absent or finds none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.split()
    return lines[0] if done.returncode == 0 and lines else None
