"""Fine-tuning as a task of the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ssl3d.data.labelled.batch import LabelledBatch
from ssl3d.data.labelled.batches import LabelledBatches
from ssl3d.folder import RunFolder
from ssl3d.run.again import compute_again
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.task import Evaluation, Fitted, Task
from ssl3d.tasks.finetune.finish import finish
from ssl3d.tasks.finetune.groups import finetune_groups
from ssl3d.tasks.finetune.measure import measure
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.resolved import Resolved
from ssl3d.tasks.finetune.result import FinetuneResult
from ssl3d.tasks.finetune.static_shapes import why_not_static


class FinetuneTask(Task):
    """Trains a `FinetuneModel` on labelled batches, and leaves it with its numbers.

    Args:
        model: to start from.
        resolved: what the run is made of.
        batches: of the run.
        begin: writes what says that there is a run, given the step that it goes on from.
        notes: what was said on the way.

    Attributes:
        result: what the run came to, once it has ended; intervals and pictures are rank 0's.
    """

    batch_types = (LabelledBatch,)
    module: FinetuneModel
    result: FinetuneResult

    def __init__(
        self,
        model: FinetuneModel,
        *,
        resolved: Resolved,
        batches: LabelledBatches,
        begin: Callable[[int], None],
        notes: Sequence[str],
    ) -> None:
        self.module = model
        self._resolved, self._batches = resolved, batches
        self._begin, self._notes = begin, notes
        best = resolved.trainer.best
        self.shown = "" if best is None else best.number

    def begin(self, *, step: int) -> None:
        """Spec, files and environment."""
        self._begin(step)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The encoder's by stage, and the rest; what a recipe freezes is in none."""
        return finetune_groups(self.module)

    def rate(
        self, group: Mapping[str, Any], *, optimizer: OptimizerSpec, step: int, steps: int
    ) -> float:
        """As the recipe says."""
        return optimizer.lr * self._resolved.spec.how.rate_of(group, step=step, steps=steps)

    def batches(self, *, start: int, rank: int, world: int) -> Iterator[LabelledBatch]:
        """Labelled crops."""
        return iter(self._batches.training(start=start, rank=rank, world=world))

    def evaluate(self, module: nn.Module, *, step: int, rank: int, world: int) -> dict[str, float]:  # noqa: ARG002
        """The cases that choose, as `choosing/...`."""
        assert isinstance(module, FinetuneModel)
        found = measure(
            module,
            batches=self._batches,
            side="choosing",
            patch=self._resolved.patch,
            windows=self._resolved.spec.windows,
            rank=rank,
            world=world,
        )
        return {f"choosing/{name}": value for name, value in found.summary.items()}

    def evaluations(self) -> Sequence[Evaluation]:
        """Those that choose, where weights are chosen."""
        return (Evaluation(self.evaluate),) if self._resolved.spec.select == "best" else ()

    def finish(self, folder: Path, *, weights: Mapping[str, Tensor], fitted: Fitted) -> None:
        """The model and its numbers on the test cases."""
        self.result = finish(
            self.module,
            weights=weights,
            resolved=self._resolved,
            batches=self._batches,
            folder=RunFolder(folder),
            fitted=fitted,
            warnings=tuple(self._notes),
        )

    def compile(self) -> None:
        """Encoder and decoder: the step around them asks for the numbers of samples."""
        for part in (self.module.backbone, self.module.decoder):
            if part is not None:
                part.compile()

    def not_static(self) -> str | None:
        """A task on cases, whose crops differ in number, or a recipe in parts."""
        return why_not_static(self._resolved.spec)

    def checkpoint_activations(self) -> None:
        """Those of each stage of the encoder and of the decoder."""
        for part in (self.module.backbone, self.module.decoder):
            if part is not None:
                compute_again(part)
