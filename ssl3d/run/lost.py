"""A rank that has died, as the others see it: one line in place of a library's traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from ssl3d.run.ranks import world_size
from ssl3d.run.run_error import RunError

SAID = ("gloo/transport", "Connection closed by peer", "Connection reset by peer")
"""Parts of what gloo says; NCCL has errors of its own."""


@contextmanager
def errors_of_lost_ranks() -> Iterator[None]:
    """Turn what a library says of a lost connection into a RunError."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, dist.DistError) or any(part in str(error) for part in SAID)
        if world_size() == 1 or not lost:
            raise
        raise RunError(
            "Another rank of this run has ended, and so does this one. What ended it stands in its "
            "own output; nothing there: it was killed, as happens where memory runs out. Go on "
            "with --resume"
        ) from None
