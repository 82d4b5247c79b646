"""The table of faults in `docs/reliability.md`: what the tests marked `faults` say and find.

`pytest -m faults --reliability docs/reliability.md` writes it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent

PAGE = """# What happens when something goes wrong

Each line is a test that really does it: processes are killed, disks are full. `pytest -m faults` \
runs them, and with `--reliability docs/reliability.md` it writes this page. "Equal" means: the \
same `metrics.csv` but for times, the same `held_out.csv` and the same weights to the last bit as \
a run that nothing happened to. A refusal is one message with exit code 2 and no traceback. [The \
page on long runs](clusters.md) says what to do.

| fault | expected | result |
|---|---|---|
"""


class Fault(NamedTuple):
    """What is done to a run, and what is expected then."""

    what: str
    expected: str


def faults() -> list[Fault]:
    """Those of all tests, as they stand in the files."""
    found = []
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.faults":
                found.append(Fault(*(ast.literal_eval(one) for one in node.args)))
    return found


def on_page(path: Path) -> dict[Fault, list[str]]:
    """The results that stand on a page; none where there is no page."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {Fault(what, expected): [result] for what, expected, result in cells[1:]}


def write_page(path: Path, *, results: Mapping[Fault, list[str]]) -> None:
    """Write the table; a fault that was not run keeps its line."""
    found = {**on_page(path), **results}
    lines = [f"| {' | '.join((*one, '; '.join(dict.fromkeys(found[one]))))} |" for one in faults()]
    path.write_text(PAGE + "\n".join(lines) + "\n", encoding="utf-8")
