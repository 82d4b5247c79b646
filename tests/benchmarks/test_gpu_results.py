"""The page of GPUs says what the results say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NETWORKS = {
    "wave96b2": "WaveFormer 96³, batch 2",
    "wave96b8": "batch 8",
    "wave96b32": "batch 32",
    "resL160b2": "ResEnc-L 160³, batch 2",
}


def forms_of(network: str) -> dict[str, Any]:
    found = json.loads((ROOT / "benchmarks/results/gpu_h200.json").read_text(encoding="utf-8"))
    parts = [part["found"] for name, part in found.items() if name.startswith("step_")]
    (forms,) = (part[network] for part in parts if network in part)
    assert isinstance(forms, dict)
    return forms


@pytest.mark.parametrize("network", NETWORKS)
def test_a_row_is_what_was_measured(network: str) -> None:
    forms = forms_of(network)
    dense = min(form["pipelined ms"] for name, form in forms.items() if name.startswith("zeroed"))
    memory = min(forms[name]["peak MiB"] for name in ("zeroed", "zeroed cl"))
    visible, graph = forms["visible"], forms["visible static, graph"]["pipelined ms"]
    numbers = [
        f"{visible['profile']['kernels']}",
        f"{visible['profile']['busy ms']:.1f}",
        f"{visible['pipelined ms']:.0f}",
        f"{graph:.1f}",
        f"{dense:.1f}",
        f"{graph / dense:.2f}",
        f"{visible['peak MiB'] / memory:.2f}",
    ]
    row = f"| {' | '.join([NETWORKS[network], *numbers])} |"
    assert row in (ROOT / "docs/gpu.md").read_text(encoding="utf-8").splitlines()
