"""One arm with one seed: pre-train where nobody has yet, fine-tune, write what came out."""

from __future__ import annotations

import csv
import hashlib
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arm import Arm
from kept import Stopped, claimed, machine, read, write
from sets import write_manifest
from settings import WEIGHTS
from specs import NOTHING, Values, changes_of, encoder_of, finetuning, pretraining

SHIPPED = Path(__file__).parents[2] / "examples" / "weights" / "hippocampus"
"""The encoder of one of the pre-trainings, which another processor does not make bit by bit."""

WEIGHTS_FILE = "encoder.safetensors"


def pretrained(
    name: str, *, of: str, data: Path, work: Path, results: Path, also: Values = NOTHING
) -> None:
    """Pre-train on the pool of a set, into `work/SET/pretrain-NAME`, where that has not been done.

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
        known = read(result)
        if known is not None and not out.exists() and digest(SHIPPED) == known["sha256"]:
            shutil.copytree(SHIPPED, out)
        if known is not None and (out / WEIGHTS_FILE).is_file():
            _check_same(known, out)
            return
        if known is not None and known["machine"]["cpu"] != (here := machine()["cpu"]):
            print(
                f"{name} was pre-trained on {known['machine']['cpu']}, and this is {here}: what "
                "comes out may be another encoder, whose arms would be refused then",
                flush=True,
            )
        out.mkdir(parents=True, exist_ok=True)
        spec = pretraining(name, of=of, data=data, work=work / of, also=also)
        before = time.process_time()
        resume = RunFolder(out).holds_a_run
        found = ssl3d.pretrain(spec, out=out, resume=resume)
        if not found.finished:
            raise Stopped(found.exit_code)
        if known is not None:
            _check_same(known, out)
            return
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
                "sha256": digest(out),
                "read": cases(out, held_out=True),
                "machine": machine(),
            },
        )


def _check_same(known: Mapping[str, Any], out: Path) -> None:
    """Arms of one table start from one encoder.

    Raises:
        SystemExit: this is another one.
    """
    if known["sha256"] != digest(out):
        raise SystemExit(
            f"{out} holds another encoder than the one that {known['weights']}'s committed arms "
            "started from: give another folder as --results"
        )


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
    if arm.weights is not None:
        pretrained(arm.weights, of=arm.of, data=data, work=work, results=results, also=also)
    with claimed(work / arm.of / f"{key}.lock"):
        if read(result) is not None:
            return
        before = time.process_time()
        spec = finetuning(arm, seed=seed, data=data, work=work / arm.of, also=also)
        said = {
            "optimizer.lr": spec.optimizer.lr,
            "trainer.steps": spec.trainer.steps,
            "augment.flips": spec.augment.flips,
        }
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
                "encoder": None if arm.weights is None else digest(encoder_of(arm, work / arm.of)),
                "learned": cases(out, held_out=False),
                "seed": seed,
                "values": {**said, **changes_of(arm, also), "recipe": arm.course},
                "steps": found.step,
                "inner": dice(out / "test"),
                "cpu_seconds": None if resume else time.process_time() - before,
                "machine": machine(),
            },
        )
        shutil.rmtree(out / "checkpoints", ignore_errors=True)
        if found.asked:
            raise Stopped(found.asked)


def tested(arm: Arm, *, seed: int, data: Path, work: Path, results: Path) -> None:
    """Measure the kept model of an arm on the final cases, once everything is chosen."""
    import ssl3d
    from ssl3d.folder import RunFolder
    from ssl3d.tasks.evaluate.run import evaluate_run

    key = f"{arm.name}-s{seed}"
    out, path = work / arm.of / key, results / arm.of / f"{key}.json"
    with claimed(work / arm.of / f"{key}.lock"):
        result = read(path)
        if result is None or "final" in result:
            return
        if not RunFolder(out).holds_a_run:
            raise SystemExit(f"{key} has finished, but its model is not in {out}: give its --work")
        table = write_manifest(arm.of, tested="final", data=data, path=out / "final.csv")
        final = ssl3d.LabelledData(manifest=str(table), workers=0)
        device = "cuda" if arm.on_gpu else "cpu"
        evaluate_run(out, data=final, out=out / "final", device=device)
        write(path, {**result, "final": dice(out / "final")})


def dice(folder: Path) -> dict[str, float]:
    """Mean Dice of each case, from a folder of numbers."""
    with (folder / "cases.csv").open(encoding="utf-8", newline="") as file:
        rows = {case_of(row["case"]): row["dice"] for row in csv.DictReader(file)}
    return {case: round(float(value), 5) for case, value in sorted(rows.items())}


def cases(run: Path, *, held_out: bool) -> list[str]:
    """Cases that a run learned from, with those that it held out where that is asked for."""
    from ssl3d.data.listing import Listing

    listed = Listing.read(run / "data.json")
    samples = (*listed.training, *(listed.held_out if held_out else ()))
    return sorted(case_of(sample.paths[0]) for sample in samples)


def digest(run: Path) -> str:
    """SHA-256 of an encoder."""
    return hashlib.sha256((run / WEIGHTS_FILE).read_bytes()).hexdigest()


def case_of(path: str) -> str:
    """`.../la_001.nii.gz` to `la_001`."""
    return Path(path).name.split(".")[0]
