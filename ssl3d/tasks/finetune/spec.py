"""The fine-tuning spec: from a pre-trained encoder, or none, to a model of a downstream task.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable

from ssl3d.plugin.typed_spec import TypedSpec
from ssl3d.tasks.finetune import spec_checks
from ssl3d.tasks.finetune.spec_fields import FinetuneFields


class FinetuneSpec(FinetuneFields, TypedSpec):
    """A fine-tuning experiment. Give `encoder`, or `backbone` to start from scratch; both where
    `encoder` is a checkpoint of another project that the backbone can read.
    """

    def problems(self) -> Iterable[tuple[str, str]]:
        """What does not fit together, as far as the spec alone tells."""
        return spec_checks.problems(self)
