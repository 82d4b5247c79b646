"""Pre-training as a task of the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from ssl3d.data import BadFileRecord, BadVolume, Batches, Source
from ssl3d.data.half_batch import HalfBatch
from ssl3d.folder import RunFolder
from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.batch import Batch, ViewBatch
from ssl3d.kinds.level import Level
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.restoration import restoration_label
from ssl3d.run.again import compute_again
from ssl3d.run.metrics_file import MetricsFile
from ssl3d.run.ranks import rank as own_rank
from ssl3d.run.task import Evaluation, Fitted, Task
from ssl3d.sparse import CellGrid, HiddenLevels
from ssl3d.tasks.pretrain.empty_crops import EmptyCrops
from ssl3d.tasks.pretrain.finish import finish
from ssl3d.tasks.pretrain.held_out import HeldOut
from ssl3d.tasks.pretrain.module import PretrainModule
from ssl3d.tasks.pretrain.probe import Probe
from ssl3d.tasks.pretrain.result import RunResult
from ssl3d.tasks.pretrain.spec import ExperimentSpec
from ssl3d.tasks.pretrain.static_shapes import why_not_static


class PretrainTask(Task):
    """Trains a `PretrainModel` on the batches of a run, and leaves its encoder.

    Args:
        model: built from the spec.
        spec: of the run.
        batches: of the run.
        folder: of the run.
        last_step: of the checkpoint that the run goes on from.
        notes: lines that `warn` took.
        begin: writes what says that there is a run, given the step that it goes on from.
        warn: takes a line for the user.

    Attributes:
        result: what the run came to, on rank 0 once it has ended.

    Raises:
        DataError: the probe's volumes cannot be used.
    """

    averaged = "model.backbone"
    batch_types = (Batch, HalfBatch, ViewBatch, CellGrid, HiddenLevels, Level)
    result: RunResult

    def __init__(
        self,
        model: PretrainModel,
        *,
        spec: ExperimentSpec,
        batches: Batches,
        folder: RunFolder,
        last_step: int,
        notes: Sequence[str],
        begin: Callable[[int], None],
        warn: Callable[[str], None],
    ) -> None:
        self._begin = begin
        self._empty = EmptyCrops()
        self.module = PretrainModule(model, seed=spec.seed, empty=self._empty)
        judged = restoration_label(model.labels, losses=model.losses)
        self.shown = f"held_out/{judged or 'loss'}"
        self._spec, self._batches, self._folder, self._notes = spec, batches, folder, notes
        main = own_rank() == 0
        file = MetricsFile(folder.held_out, last_step=last_step, text=("volume",)) if main else None
        self._held_out = HeldOut(batches, spec=spec, file=file, warn=warn)
        self._probe = self._make_probe() if main else None

    def begin(self, *, step: int) -> None:
        """Spec, files and environment."""
        self._begin(step)

    def batches(self, *, start: int, rank: int, world: int) -> Iterator[Batch]:
        """Endless micro-batches of one rank."""
        return iter(self._batches.training(start=start, rank=rank, world=world))

    def evaluate(self, module: nn.Module, *, step: int, rank: int, world: int) -> dict[str, float]:
        """Held-out crops, as `held_out/...`."""
        assert isinstance(module, PretrainModule)
        return self._held_out.measure(module, step=step, rank=rank, world=world)

    def evaluations(self) -> Sequence[Evaluation]:
        """Held-out crops, and the probe of what will be exported."""
        probe = self._spec.probe
        if probe is None:
            return (Evaluation(self.evaluate),)
        every = 0 if probe.every is None else probe.every
        return (Evaluation(self.evaluate), Evaluation(self._probed, every=every, averaged=True))

    def remarks(self, columns: Mapping[str, float]) -> Iterable[str]:
        """The first empty crop."""
        return self._empty.remarks(columns)

    def finish(self, folder: Path, *, weights: Mapping[str, Tensor], fitted: Fitted) -> None:  # noqa: ARG002
        """Encoder, pictures and summary."""
        if own_rank() > 0:
            return
        self.result = finish(
            self.module.model,
            weights=weights,
            fitted=fitted,
            spec=self._spec,
            folder=self._folder,
            batches=self._batches,
            warnings=tuple(self._notes),
        )

    def compile(self) -> None:
        """Encoders and decoder; shapes change with what is visible unless the masker fixes it."""
        model = self.module.model
        for part in (model.backbone, model.feature_encoder, model.decoder):
            if part is not None:
                part.compile()

    def not_static(self) -> str | None:
        """A ratio that is drawn from a range, or a loss that samples on the host."""
        return why_not_static(self._spec)

    def checkpoint_activations(self) -> None:
        """Those of each stage of the encoders and of the decoder."""
        model = self.module.model
        for part in (model.backbone, model.feature_encoder, model.decoder):
            if part is not None:
                compute_again(part)

    def _probed(self, module: nn.Module, *, step: int, rank: int, world: int) -> dict[str, float]:  # noqa: ARG002
        assert isinstance(module, Backbone)
        return {} if self._probe is None else self._probe.measure(module)

    def _make_probe(self) -> Probe | None:
        spec, record = self._spec, BadFileRecord(self._folder.bad_files)
        if spec.probe is None:
            return None

        def left_out(source: Source, error: BadVolume) -> None:
            record.add(source.name, f"{error} (for the probe)")

        begun = Path(self._batches.volumes.listing.folder)
        return Probe(spec.probe, data=spec.data, begun=begun, left_out=left_out)
