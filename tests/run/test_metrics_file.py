"""A metrics file that is damaged is named, and one that was cut is mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl3d.run.metrics_file import MetricsFile, read_metrics
from ssl3d.run.run_error import RunError

GOOD = b"step,loss,held_out/loss\n0,,1.5\n10,0.5,\n20,nan,1.25\n"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (GOOD.replace(b"0.5", b"0.\xff"), "can't decode byte 0xff"),
        (GOOD.replace(b"0.5", b"0x5"), "line 3: could not convert string to float: '0x5'"),
        (GOOD.replace(b"10,0.5,\n", b"10,0.5\n"), "line 3: it has not as many values as there are"),
        (GOOD.replace(b"10,0.5,\n", b"10,0.5,,1\n"), "line 3: it has not as many values"),
        (GOOD.replace(b"10,0.5,\n", bytes(64) + b"\n"), "line 3: "),
        (GOOD.replace(b"10,", b","), "line 3: it has no step"),
        (GOOD.replace(b"10,", b"1.5,"), "line 3: it has no step"),
        (GOOD.replace(b"20,", b"2,"), "line 4: its step is before that of the line above"),
        (GOOD.replace(b"step,", b""), "line 2: "),
        (GOOD.replace(b"0.5", b'"0.5'), "unexpected end of data"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    for read in (read_metrics, MetricsFile):
        with pytest.raises(RunError) as raised:
            read(path)
        assert str(raised.value).startswith(f"{path} is damaged: ")
        assert what in str(raised.value)
        assert f"mv {path} {path}.damaged" in str(raised.value)
    assert path.read_bytes() == content


def test_what_it_advises_works(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"\0")
    path.rename(f"{path}.damaged")
    MetricsFile(path, last_step=10).add({"step": 11.0, "loss": 1.0})
    assert read_metrics(path) == [{"step": 11.0, "loss": 1.0}]


def test_a_step_has_one_row_where_no_column_is_text(tmp_path: Path) -> None:
    path, volumes = tmp_path / "metrics.csv", tmp_path / "held_out.csv"
    for last in (0, 1):
        MetricsFile(path, last_step=last).add({"step": 1.0, f"a{last}": 2.0})
    assert read_metrics(path) == [{"step": 1.0, "a0": 2.0, "a1": 2.0}]
    file = MetricsFile(volumes, text=("volume",))
    for name in ("a", "b"):
        file.add({"step": 1.0, "volume": name})
    assert volumes.read_text() == "step,volume\n1,a\n1,b\n"


@pytest.mark.parametrize("length", range(1, len(b"20,nan,1.25\n")))
def test_a_line_that_was_cut_is_left_out(tmp_path: Path, length: int) -> None:
    """Also where what is left of it looks like one: step 2 of 20."""
    path = tmp_path / "metrics.csv"
    path.write_bytes(GOOD[:-length])
    rows = [{"step": 0.0, "held_out/loss": 1.5}, {"step": 10.0, "loss": 0.5}]
    assert read_metrics(path) == rows
    assert MetricsFile(path, last_step=10).rows == rows
    assert path.read_bytes() == b"step,held_out/loss,loss\n0,1.5,\n10,,0.5\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
@pytest.mark.parametrize("column", ["old", "new"])
def test_a_full_disk_is_one_message(tmp_path: Path, column: str) -> None:
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path)
    file.add({"step": 1.0, "old": 1.0})
    path.unlink()
    path.symlink_to("/dev/full")
    if column == "new":  # it is written anew, beside the old one
        path.unlink()
        tmp_path.rmdir()
    with pytest.raises(RunError, match=rf"{path} cannot be written: No (space|such).*--resume"):
        file.add({"step": 2.0, column: 1.0})
