"""Whether all batches of a run have one shape, as a CUDA graph needs it. Imports no torch."""

from __future__ import annotations

from ssl3d.tasks.finetune.spec_fields import FinetuneFields


def why_not_static(spec: FinetuneFields) -> str | None:
    """What gives batches other shapes, or another program, each time; None where nothing does.

    Padding is known when a batch is there.
    """
    if not spec.task.static:
        return f"the task {spec.task.name!r} does not say that its batches have one shape"
    steps = spec.trainer.steps
    if len({spec.how.trains("encoder", step=step, steps=steps) for step in (0, steps - 1)}) > 1:
        return f"the recipe {spec.how.name!r} trains the encoder in some steps and not in others"
    return None
