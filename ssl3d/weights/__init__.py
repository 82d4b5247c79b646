"""Copy weights between networks, with a report of what fitted and what did not."""

from ssl3d.weights.adapt import Adapted, fill_from
from ssl3d.weights.read import read_weights
from ssl3d.weights.transfer import TransferReport, transfer

__all__ = ["Adapted", "TransferReport", "fill_from", "read_weights", "transfer"]
