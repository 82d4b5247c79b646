"""Copy weights between networks, with a report of what fitted and what did not."""

from ssl3d.weights.read import read_weights
from ssl3d.weights.transfer import TransferReport, transfer

__all__ = ["TransferReport", "read_weights", "transfer"]
