"""The process that performs the checks of one part: `python -m ssl3d.doctor.child`.

It writes a line of JSON before and after each check, so that whoever waits for it knows what it was
doing when it died.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from ssl3d.doctor.check import Check, perform
from ssl3d.doctor.parts import Part, checks_of


def main() -> None:
    """Arguments: the part and the checks to leave out as JSON, the file to write."""
    job, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    part, done = Part(**job["part"]), set(job["done"])
    for check in checks_of(part):
        if f"{check.part}: {check.name}" in done:
            continue
        _write(path, {"begun": _line(check), "gate": check.gate})
        result = perform(check)
        _write(path, {"result": dataclasses.asdict(result)})
        if check.gate and result.status != "ok":
            return


def _line(check: Check) -> dict[str, Any]:
    """What is known of a check's result before it is performed."""
    return {
        "part": check.part,
        "check": check.name,
        "advice": check.advice,
        "device": check.device,
        "required": check.required,
    }


def _write(path: Path, record: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
