"""One arm with one seed: pre-train where nobody has yet, fine-tune, write what came out."""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from arms import FINETUNE, NETWORK, OF_SET, PRETRAIN, WEIGHTS, Arm
from kept import Stopped, claimed, machine, read, write
from sets import LABELS, images, write_groups, write_manifest

Values = Mapping[str, Any]
NOTHING: Values = MappingProxyType({})


def pretrained(
    name: str, *, of: str, data: Path, work: Path, results: Path, also: Values = NOTHING
) -> Path:
    """The folder of a pre-training on the pool of a set; it is run where it has not been.

    Args:
        name: of the encoder.
        of: the set.
        data: folder of the sets.
        work: folder of runs.
        results: folder of what is kept.
        also: what is changed in every spec, for a dry run.

    Raises:
        Busy, Stopped: it is not there yet.
    """
    import ssl3d
    from ssl3d.folder import RunFolder

    out, result = work / of / f"pretrain-{name}", results / of / f"pretrain-{name}.json"
    with claimed(work / of / f"pretrain-{name}.lock"):
        if read(result) is not None and (out / "encoder.safetensors").is_file():
            return out
        out.mkdir(parents=True, exist_ok=True)
        groups = write_groups(of, path=work / of / "groups.json")
        files = {"volumes": images(of, "pool", data=data), "group_file": groups}
        parts = {**PRETRAIN, "data": {**PRETRAIN["data"], **files}}
        spec = ssl3d.ExperimentSpec(**parts).with_values({**WEIGHTS[name], **also})
        before = time.process_time()
        resume = RunFolder(out).holds_a_run
        found = ssl3d.pretrain(spec, out=out, resume=resume)
        if not found.finished:
            raise Stopped(found.exit_code)
        assert found.held_out_loss is not None
        assert found.trivial_loss is not None
        write(
            result,
            {
                "set": of,
                "weights": name,
                "values": dict(WEIGHTS[name]),
                "steps": found.step,
                "held_out": found.held_out_loss,
                "trivial": found.trivial_loss,
                "relative": found.held_out_loss / found.trivial_loss,
                "cpu_seconds": None if resume else time.process_time() - before,
                "read": _read_cases(out),
                "machine": machine(),
            },
        )
    return out


def finetuned(
    arm: Arm, *, seed: int, data: Path, work: Path, results: Path, also: Values = NOTHING
) -> None:
    """Fine-tune, measure on the inner cases, keep model and numbers; see `pretrained`.

    Raises:
        Busy, Stopped: it is not there yet.
    """
    import ssl3d
    from ssl3d.folder import RunFolder

    key = f"{arm.name}-s{seed}"
    out, result = work / arm.of / key, results / arm.of / f"{key}.json"
    if read(result) is not None:
        return
    where: dict[str, Any] = {"backbone": NETWORK}
    if arm.weights is not None:
        weights = pretrained(
            arm.weights, of=arm.of, data=data, work=work, results=results, also=also
        )
        where = {"encoder": str(weights)}
        if arm.checkpoint is not None:
            kept = RunFolder(weights).checkpoint(arm.checkpoint)
            where = {"encoder": str(kept), "backbone": NETWORK}
    with claimed(work / arm.of / f"{key}.lock"):
        if read(result) is not None:
            return
        before = time.process_time()
        table = write_manifest(arm.of, tested="inner", data=data, path=work / arm.of / f"{key}.csv")
        parts = {
            **FINETUNE,
            **where,
            "task": {"name": "segmentation", "labels": LABELS[arm.of]},
            "data": {**FINETUNE["data"], "manifest": str(table)},
            "recipe": arm.course,
            "seed": seed,
            "subset_seed": seed,
        }
        changes = {**OF_SET[arm.of], **arm.values, **also}
        spec = ssl3d.FinetuneSpec(**parts).with_values(changes)
        said = {"optimizer.lr": spec.optimizer.lr, "trainer.steps": spec.trainer.steps}
        resume = RunFolder(out).holds_a_run
        found = ssl3d.finetune(spec, out=out, resume=resume)
        if not found.finished:
            raise Stopped(found.exit_code)
        write(
            result,
            {
                "set": arm.of,
                "arm": arm.name,
                "weights": arm.weights,
                "checkpoint": arm.checkpoint,
                "seed": seed,
                "values": {**said, **changes, "recipe": arm.course},
                "steps": found.step,
                "inner": dice(out / "test"),
                "cpu_seconds": None if resume else time.process_time() - before,
                "machine": machine(),
            },
        )
        shutil.rmtree(out / "checkpoints", ignore_errors=True)


def tested(arm: Arm, *, seed: int, data: Path, work: Path, results: Path) -> None:
    """Measure the kept model of an arm on the final cases, once everything is chosen."""
    import ssl3d
    from ssl3d.tasks.evaluate.run import evaluate_run

    key = f"{arm.name}-s{seed}"
    out, path = work / arm.of / key, results / arm.of / f"{key}.json"
    with claimed(work / arm.of / f"{key}.lock"):
        result = read(path)
        if result is None or "final" in result:
            return
        table = write_manifest(arm.of, tested="final", data=data, path=out / "final.csv")
        final = ssl3d.LabelledData(manifest=str(table), workers=0)
        evaluate_run(out, data=final, out=out / "final", device="cpu")
        write(path, {**result, "final": dice(out / "final")})


def dice(folder: Path) -> dict[str, float]:
    """Mean Dice of each case, from a folder of numbers."""
    with (folder / "cases.csv").open(encoding="utf-8", newline="") as file:
        rows = {case_of(row["case"]): row["dice"] for row in csv.DictReader(file)}
    return {case: round(float(value), 5) for case, value in sorted(rows.items())}


def _read_cases(run: Path) -> list[str]:
    """Cases that a pre-training read, training and held-out ones."""
    from ssl3d.data.listing import Listing

    listed = Listing.read(run / "data.json")
    samples = (*listed.training, *listed.held_out)
    return sorted(case_of(path) for sample in samples for path in sample.paths)


def case_of(path: str) -> str:
    """`.../la_001.nii.gz` to `la_001`."""
    return Path(path).name.split(".")[0]
