"""Processes and devices of a run: those that `torchrun` or SLURM started, or our own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException

from ssl3d.run.precision import lacks, with_precision
from ssl3d.run.quiet import quiet_lightning
from ssl3d.run.ranks import of_all_ranks
from ssl3d.run.run_error import RunError
from ssl3d.run.trainer_spec import TrainerSpec

PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}

PARENT = "SSL3D_PARENT"
"""Variable that names the process which starts ranks: it may be gone before a rank has begun."""


class Started(NamedTuple):
    """The ranks that something else has started.

    Attributes:
        by: its name.
        devices: processes on each node, one device each.
        nodes: machines.
    """

    by: str
    devices: int
    nodes: int


def launched(options: TrainerSpec) -> Fabric:
    """Fabric with all ranks started: from here on each runs the same lines.

    Without `torchrun` or SLURM it starts the other ranks of this machine itself, which run the
    program from its beginning. A rank whose parent dies ends itself.

    Raises:
        RunError: the machine lacks what the spec asks for, or as many ranks were not started.
    """
    options, began = with_precision(options), started(os.environ)
    devices, nodes = (options.devices, options.nodes) if began is None else began[1:]
    if began is not None:
        _agree(began, options=options)
    environment: ClusterEnvironment = LightningEnvironment()
    several = nodes > 1 or (isinstance(devices, int) and devices > 1)
    strategy = options.strategy if options.strategy != "auto" or not several else "ddp"
    try:
        if began is not None:
            environment = SLURMEnvironment() if began.by == "SLURM" else TorchElasticEnvironment()
        with quiet_lightning():
            fabric = Fabric(
                accelerator=options.accelerator,
                devices=devices,
                num_nodes=nodes,
                strategy=strategy,
                precision=PRECISIONS[options.precision],
                plugins=[environment],
            )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise RunError(f"trainer: {error}") from error
    lacking = lacks(options.precision, device=fabric.device)
    if lacking is not None:
        raise RunError(f"trainer.precision: {lacking}")
    if was_launched(began, environment=environment):
        end_with_parent(os.getppid() if began else int(os.environ.get(PARENT, os.getppid())))
    else:
        os.environ[PARENT] = str(os.getpid())
    with quiet_lightning():
        fabric.launch()
    found = sorted(set(of_all_ranks(options.precision)))
    if len(found) > 1:
        raise RunError(
            f"trainer.precision: auto is {' and '.join(found)} on unlike devices: say which"
        )
    return fabric


def was_launched(began: Started | None, *, environment: ClusterEnvironment) -> bool:
    """True on ranks that a launcher has started and that must not outlive it. The process that the
    user started may: its shell ends after a `nohup`.
    """
    return began is not None or environment.local_rank() > 0


def started(environ: Mapping[str, str]) -> Started | None:
    """What `torchrun` or `srun` says of the ranks that it started; None where neither did.

    Raises:
        RunError: SLURM gave several tasks, and the program was started without `srun`.
    """
    if "TORCHELASTIC_RUN_ID" in environ:
        local = int(environ["LOCAL_WORLD_SIZE"])
        return Started("torchrun", local, int(environ["WORLD_SIZE"]) // local)
    tasks = int(environ.get("SLURM_NTASKS", 1))
    # A shell of `salloc` or `srun --pty` has these names; there nothing was started.
    if tasks == 1 or environ.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return None
    if "SLURM_STEP_ID" not in environ:
        raise RunError(
            f"SLURM gave this job {tasks} tasks, and one process was started: put srun before the "
            "command, or ask for one task"
        )
    nodes = int(environ.get("SLURM_STEP_NUM_NODES", environ.get("SLURM_NNODES", 1)))
    return Started("SLURM", tasks // nodes, nodes)


def _agree(began: Started, *, options: TrainerSpec) -> None:
    """Raise RunError where the spec names another number of ranks than were started."""
    for name, given, found in (
        ("devices", options.devices, began.devices),
        ("nodes", options.nodes, began.nodes),
    ):
        free = "auto" if name == "devices" else 1
        if given not in (free, -1, found):
            raise RunError(
                f"trainer.{name}: given {given}, and {began.by} started {found}: leave it at "
                f"{free}, or start as many"
            )


def end_with_parent(parent: int, *, every: float = 2.0) -> None:
    """End this process soon after the one that started it: nobody else would.

    Args:
        parent: number of that process.
        every: seconds between looks.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every)
        # A rank waits for others inside a library: it can only be ended as a whole.
        with suppress(OSError):  # who would have read it may be gone too
            os.write(2, b"The process that started this rank has ended: so does this rank\n")
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
