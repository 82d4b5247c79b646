"""`docs/reliability.md` is what the suite of faults wrote."""

from __future__ import annotations

from pathlib import Path

from reliability import faults, on_page, write_page

WRITTEN = Path(__file__).parents[1] / "docs/reliability.md"


def test_the_page_lists_the_faults_of_the_suite(tmp_path: Path) -> None:
    results = on_page(WRITTEN)
    assert list(results) == faults()
    assert not {one for (one,) in results.values()} & {"", "failed", "skipped"}
    write_page(tmp_path / "page.md", results=results)
    assert (tmp_path / "page.md").read_text("utf-8") == WRITTEN.read_text("utf-8")
