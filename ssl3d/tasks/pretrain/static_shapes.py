"""Whether all batches of a run have one shape, as a CUDA graph needs it. Imports no torch."""

from __future__ import annotations

from ssl3d.tasks.pretrain.spec_fields import ExperimentFields


def why_not_static(spec: ExperimentFields) -> str | None:
    """What gives batches other shapes, or another program, each time; None where nothing does.

    Padding is known when a batch is there.
    """
    if not spec.masker.fixed_count:
        return f"masker {spec.masker.name!r} does not hide equally many cells of each crop here"
    if spec.views_at_once is not None:
        return "views_at_once computes parts of a step again, which a CUDA graph cannot hold"
    drawing = [loss.title for loss in spec.losses if loss.draws]
    if drawing:
        return f"the loss {drawing[0]!r} draws at random on the host in each step"
    return None
