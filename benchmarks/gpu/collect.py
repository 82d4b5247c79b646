"""Everything that the parts of a check have found so far, in one file.

python collect.py WORK results.json
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any


def of_parts(folder: Path) -> dict[str, Any]:
    """The JSON of each part, by name; a part that was ended may have left half of one."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            found[path.stem] = {"broken": str(error)}
    return found


def of_run(metrics: Path) -> dict[str, Any]:
    """What a training run left: its median speed and the last value of each column."""
    with metrics.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    speeds = sorted(float(r["volumes_per_second"]) for r in rows if r.get("volumes_per_second"))
    last = {name: value for row in rows for name, value in row.items() if value}
    return {"crops a second, median": speeds[len(speeds) // 2] if speeds else None, "last": last}


def main() -> None:
    work, out = Path(sys.argv[1]), Path(sys.argv[2])
    found = of_parts(work / "parts")
    for metrics in sorted(work.glob("runs/*/metrics.csv")):
        found[f"train_{metrics.parent.name}"] = of_run(metrics)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
