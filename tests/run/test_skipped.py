"""A step whose gradient is not finite changes nothing but counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_resume import rows, same
from toy import Toy, ToyModule, run

from ssl3d.run.checkpoint_file import read_checkpoint
from ssl3d.run.replay import about_step, described, replay
from ssl3d.run.run_error import NotFiniteError

KEEP = {"checkpoint_every": 1, "keep_checkpoints": 10, "log_every": 1}


def test_weights_moments_statistics_and_average_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Toy(bad={9}), tmp_path, steps=4, optimizer={"ema": 0.9}, **KEEP)
    two, three = (
        read_checkpoint(tmp_path / f"checkpoints/step-00000000{step}.ckpt") for step in (2, 3)
    )
    assert same(two["state_dict"], three["state_dict"])
    assert same(two["optimizer"]["state"], three["optimizer"]["state"])
    assert same(two["average"], three["average"])
    assert all(v.isfinite().all() for v in three["state_dict"].values())
    said = capsys.readouterr().out
    assert "Step 3 was skipped: a loss is not finite" in said
    assert "volume-8\n" in said
    assert "ssl3d replay" in said
    row = rows(tmp_path)[3]
    assert row["train/skipped_steps"] == row["train/bad_losses"] == "1.0"
    assert row["train/loss"] == ""


def test_a_skipped_step_is_as_if_its_batch_were_not_there(tmp_path: Path) -> None:
    """Apart from the schedule, which goes on."""
    still = {"schedule": "constant", "warmup": 0.0}

    class Without(Toy):
        def batches(self, **options):  # type: ignore[no-untyped-def]
            return (b for b in super().batches(**options) if 9 not in b.samples)

    run(Toy(bad={9}), tmp_path / "with", steps=4, optimizer=still)
    run(Without(), tmp_path / "without", steps=3, optimizer=still)
    ends = (
        read_checkpoint(tmp_path / name)["state_dict"]
        for name in (
            "with/checkpoints/step-000000004.ckpt",
            "without/checkpoints/step-000000003.ckpt",
        )
    )
    assert same(*ends)


def test_a_captured_step_is_replayed(tmp_path: Path) -> None:
    run(Toy(bad={9}), tmp_path, steps=3, accumulate=2, **KEEP)
    path = tmp_path / "faults/step-000000002"
    assert about_step(path)["step"] == 2
    good, bad = sorted(
        replay(ToyModule(), path=path, batch_types=Toy.batch_types),
        key=lambda one: "volume-9" in one.sources,
    )
    assert good.not_finite == ()
    assert torch.tensor(good.numbers["loss"]).isfinite()
    assert "first.weight" in bad.not_finite
    assert "PowBackward0" in bad.where
    assert "toy.py:" in bad.where
    assert "gradients that are not finite: first.weight, first.bias" in described(bad)
    assert "its gradient is finite" in described(good)
    assert bad.sources == ("volume-8", "volume-9", "volume-10", "volume-11")


def test_a_streak_ends_the_run_and_names_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match="3 steps in a row were not finite") as caught:
        run(Toy(bad=range(12, 40)), tmp_path, steps=9, max_skipped_streak=3, **KEEP)
    folder = tmp_path / "checkpoints"
    remove = f"rm {folder}/step-000000004.ckpt {folder}/step-000000005.ckpt"
    go_on = f"({remove}) and go on from {folder}/step-000000003.ckpt with --resume"
    assert go_on in str(caught.value)


def test_a_streak_ends_no_checkpoint_from_before_it(tmp_path: Path) -> None:
    keep = {**KEEP, "keep_checkpoints": 1}
    with pytest.raises(NotFiniteError, match=r"go on from .*step-000000003\.ckpt"):
        run(Toy(bad=range(12, 40)), tmp_path, steps=9, max_skipped_streak=4, **keep)
    with pytest.raises(NotFiniteError, match="there is no checkpoint from before these steps"):
        run(Toy(bad=range(40)), tmp_path / "b", steps=9, max_skipped_streak=4, **keep)


def test_a_share_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match="3 of the last 100 steps"):
        run(Toy(size=1, dropout=0.0, bad={3, 5, 7}), tmp_path, steps=9, max_skipped_share=0.02)


def test_a_streak_goes_on_over_a_resume(tmp_path: Path) -> None:
    bad, limit = range(4, 40), {"steps": 9, "max_skipped_streak": 3, **KEEP}
    run(Toy(bad=bad), tmp_path, **{**limit, "steps": 3})
    with pytest.raises(NotFiniteError, match="Stopped at step 4"):
        run(Toy(bad=bad), tmp_path, resume=True, **limit)


def test_few_steps_are_captured(tmp_path: Path) -> None:
    bad = range(0, 40, 8)
    run(Toy(bad=bad), tmp_path, steps=10, **KEEP)
    names = sorted(path.name for path in (tmp_path / "faults").iterdir())
    assert names == ["step-000000001", "step-000000003", "step-000000005"]
