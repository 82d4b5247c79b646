"""The encoder of a run that has not written it yet: that of its newest checkpoint."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor

from ssl3d.folder import RunFolder
from ssl3d.run.run_checkpoint import read_run_checkpoint
from ssl3d.run.run_error import RunError
from ssl3d.tasks.encoder import encoder_in
from ssl3d.tasks.pretrain.export import describe
from ssl3d.tasks.pretrain.resumable import spec_of


def encoder_of_checkpoint(folder: RunFolder) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `encoder.json` would say, and the weights: averaged ones where the spec has them.

    Raises:
        RunError: there is no checkpoint, or it or the spec cannot be read.
    """
    newest = folder.newest_checkpoint()
    if newest is None:
        raise RunError(
            f"{folder.root} holds neither an encoder nor a checkpoint: give the folder of a run "
            "that has saved one, or of an exported encoder"
        )
    spec = spec_of(folder)
    content = read_run_checkpoint(newest)
    weights, _ = encoder_in(content)
    # As it would be read from a file: lists, not tuples.
    return json.loads(json.dumps(describe(spec, step=folder.newest_step()))), weights
