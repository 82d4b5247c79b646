"""Draw the sides of both sets once; the result, `splits.json`, is committed.

python benchmarks/evidence/make_splits.py --data DIR
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from sets import SPLITS

FINAL_ATRIA, INNER_ATRIA = 16, 12
INNER_SHARE = 0.2


def ranked(names: Iterable[str]) -> list[str]:
    """In an order that depends on the names alone."""
    return sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest())


def atria(data: Path) -> dict[str, dict[str, str]]:
    """Case to person, by side. The set does not say who is who: each case counts as a person."""
    names = ranked(file.name.split(".")[0] for file in (data / "left_atrium/images").iterdir())
    inner = FINAL_ATRIA + INNER_ATRIA
    sides = {
        "final": names[:FINAL_ATRIA],
        "inner": names[FINAL_ATRIA:inner],
        "pool": names[inner:],
    }
    return {side: {name: name for name in sorted(found)} for side, found in sides.items()}


def hippocampi(data: Path) -> dict[str, dict[str, str]]:
    """The set's own validation subjects are the final ones."""
    given = json.loads((data / "hippocampus/splits.json").read_text(encoding="utf-8"))
    person = {case: f"subject_{number:03d}" for case, number in given["subject"].items()}
    persons = ranked(person[case] for case in given["train"])
    inner = set(persons[: round(INNER_SHARE * len(persons))])
    return {
        "final": {case: person[case] for case in given["val"]},
        "inner": {case: person[case] for case in given["train"] if person[case] in inner},
        "pool": {case: person[case] for case in given["train"] if person[case] not in inner},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    found = {"left_atrium": atria(data), "hippocampus": hippocampi(data)}
    SPLITS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
