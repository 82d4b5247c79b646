"""What a fine-tuning spec comes to before it is run."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from ssl3d.data.labelled.volumes import LabelledVolumes
from ssl3d.geometry import show
from ssl3d.tasks.finetune.measuring import measuring_in_words
from ssl3d.tasks.finetune.paths import absolute
from ssl3d.tasks.finetune.resolved import resolved
from ssl3d.tasks.finetune.spec import FinetuneSpec
from ssl3d.tasks.finetune.start import starting_model


def print_summary(spec: FinetuneSpec, *, console: Console | None = None) -> None:
    """Print the spec in full, what it starts from, the model's size, and the cases of each side.

    Raises:
        SpecError: the spec does not fit its encoder.
        DataError: the volumes cannot be used.
    """
    console = console or Console()
    console.print(Text(spec.to_yaml()), soft_wrap=True)
    made = resolved(absolute(spec, folder=Path.cwd()))
    for remark in made.remarks:
        console.print(remark, style="yellow", markup=False, soft_wrap=True)
    model, loaded = starting_model(made, samples_per_step=1)
    for part in loaded:
        console.print(str(part), markup=False, highlight=False, soft_wrap=True)
    volumes = LabelledVolumes(
        made.spec.data,
        truth=made.truth,
        preparation=made.preparation,
        choosing=spec.select == "best",
        subset_seed=spec.subset_seed,
    )
    volumes.find()
    table = Table(show_header=False)
    table.add_row("encoder", f"{_count(model.backbone):,} parameters")
    if model.decoder is not None and made.decoder is not None:
        table.add_row(f"decoder {made.decoder.name}", f"{_count(model.decoder):,} parameters")
    table.add_row("task", f"{spec.task.name}: {', '.join(spec.task.outputs())}")
    table.add_row("patch", f"{show(made.patch)} voxels")
    for side in ("training", "choosing", "testing", "unused"):
        cases = getattr(volumes.sides, side)
        persons = len({case.group for case in cases})
        table.add_row(side, f"{len(cases)} cases of {persons} persons")
    for what, words in measuring_in_words(made, volumes=volumes):
        table.add_row(what, words)
    for name, problem in volumes.bad_files().items():
        table.add_row("left out", problem if name in problem else f"{name}: {problem}")
    console.print(table)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
