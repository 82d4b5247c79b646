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


def shares(found: dict[str, Any]) -> dict[str, Any]:
    """Each network's best dense form over all parts, and the share of it that visible forms take.

    Parts of one call alone are compared: another machine has another clock.
    """
    forms: dict[str, dict[str, float]] = {}
    for part, content in found.items():
        if not part.startswith("step_"):
            continue
        for network, row in content.get("found", {}).items():
            for form, values in row.items():
                if "pipelined ms" in values:
                    of = forms.setdefault(network, {})
                    of[form] = min(values["pipelined ms"], of.get(form, float("inf")))
    table = {}
    for network, times in forms.items():
        dense = {form: ms for form, ms in times.items() if form.startswith("zeroed")}
        if not dense:
            continue
        best = min(dense, key=dense.__getitem__)
        table[network] = {
            "best dense": best,
            "ms": dense[best],
            "shares": {form: ms / dense[best] for form, ms in times.items() if form not in dense},
        }
    return table


def lines(table: dict[str, Any]) -> list[str]:
    """The table for people."""
    return [
        f"{network:11} best dense: {row['best dense']} {row['ms']:.2f} ms; "
        + ", ".join(f"{form} {share:.2f}" for form, share in row["shares"].items())
        for network, row in table.items()
    ]


def main() -> None:
    work, out = Path(sys.argv[1]), Path(sys.argv[2])
    found = of_parts(work / "parts")
    for metrics in sorted(work.glob("runs/*/metrics.csv")):
        found[f"train_{metrics.parent.name}"] = of_run(metrics)
    table = shares(found)
    if table:
        found["shares"] = table
        (work / "table.txt").write_text("\n".join(lines(table)) + "\n", encoding="utf-8")
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
