"""One spec on every sparse backend: the same model, the same losses, one checkpoint for all."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import rows_without_time, training_rows

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.plugin.registry import installed

EXAMPLE = Path(__file__).parents[2] / "examples" / "swap_backend.py"
MakeSpec = Callable[..., ExperimentSpec]

# Strided and plain 3³ convolutions, batch norm over visible sites: all of it looks past a cell.
BACKBONE = {
    "name": "resunet",
    "widths": (8, 16),
    "blocks": (1, 1),
    "strides": (2, 2),
    "norm": "batch",
}
OTHERS = [name for name in installed().names("sparse_backend") if name != "dense"]


def need(backend: str) -> None:
    """Skip where its library is not installed."""
    try:
        installed().config("sparse_backend", name=backend)().build()  # type: ignore[attr-defined]
    except ImportError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def run(make_spec: MakeSpec, tmp_path: Path) -> Callable[[str], Path]:
    """Train on a backend, by name, and give the run's folder."""

    def train(backend: str) -> Path:
        need(backend)
        out = tmp_path / backend
        spec = make_spec(
            backbone=BACKBONE, sparse_backend=backend, cell=8, trainer={"log_every": 1}
        )
        ssl3d.pretrain(spec, out=out)
        return out

    return train


@pytest.mark.parametrize("backend", OTHERS)
def test_same_losses_on_every_backend(run: Callable[[str], Path], backend: str) -> None:
    reference, other = rows_without_time(run("dense")), rows_without_time(run(backend))
    assert [row["step"] for row in reference] == [row["step"] for row in other]
    losses = [
        [row["train/loss"] for row in rows if "train/loss" in row] for rows in (reference, other)
    ]
    assert len(losses[0]) == 6
    assert losses[0][0] != losses[0][-1], "nothing was learned: the comparison would be empty"
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize(
    ("first", "second"),
    [*((name, "dense") for name in OTHERS), *(("dense", name) for name in OTHERS)],
)
def test_a_checkpoint_resumes_on_another_backend(
    run: Callable[[str], Path], make_spec: MakeSpec, first: str, second: str
) -> None:
    need(second)
    out = run(first)
    whole = [row["train/loss"] for row in training_rows(out)]
    (out / "checkpoints/step-000000006.ckpt").unlink()
    spec = make_spec(backbone=BACKBONE, sparse_backend=second, cell=8, trainer={"log_every": 1})
    result = ssl3d.pretrain(spec, out=out, resume=True)
    assert result.step == 6
    resumed = [row["train/loss"] for row in training_rows(out)]
    assert resumed[:3] == whole[:3], "the rows before the checkpoint were kept"
    assert (out / "checkpoints/step-000000006.ckpt").exists(), "those after it were taken again"
    assert ExperimentSpec.from_json((out / "spec.json").read_text()).sparse_backend.name == second
    assert resumed[3:] == pytest.approx(whole[3:], rel=1e-4)


@pytest.mark.slow
def test_the_example_compares_backends_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    example = runpy.run_path(str(EXAMPLE))
    assert example["largest_difference"]([(2.0, 2.0), (1.0, 0.75), (4.0, 3.9)]) == 0.25
    example["main"](["--out", str(tmp_path / "out"), "--steps", "2"])
    said = " ".join(capsys.readouterr().out.split())
    found = re.search(r"Largest difference between backends: (\S+) of the loss", said)
    assert found is not None, said
    assert float(found[1]) < 1e-4
    assert re.search(r"The run of '\w+' went on with '\w+' to step 4: held-out loss \d", said)
