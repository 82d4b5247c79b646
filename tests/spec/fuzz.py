"""Random specs: plausible ones, spoiled ones, and garbled texts. Each is a function of a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import Any

DEEP: list[Any] = []
for _ in range(2000):
    DEEP = [DEEP]

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 16, 10**9, 2**31, 2**63, 10**12, -(10**30), 10**400),
    *(0.5, 1.5, -0.0, 1e-300, 1e30, 1e300, math.nan, math.inf, -math.inf),
    *("", " ", "0", "96", "1e3", "1_0", "0o17", "true", "null", "auto", "none", "~", "a\0b"),
    *("x" * 5000, "Ünï\u2028cödé", "a\nb: c", "*", "((", "[a-z", "(a)(b)", "mim", "resunet", "../"),
    *([], {}, [[]], [{}], [None], [1, 2, 3], [2, 2, 2], [0, 0, 0], [True, True, True], [1, 2]),
    *([1.5, 2.5, 3.5], ["a", "b"], ["mse", "mse"], ["a"] * 300, [[1, 2, 3]] * 3, [8] * 40),
    *({"name": "mim"}, {"name": None}, {"name": "x" * 300}, {"": 1}, {"self": 1}, {"a": {"b": 1}}),
)
"""What JSON and YAML can say."""

OBJECTS: tuple[Any, ...] = (
    *(b"", b"\xff" * 500, object(), object, len, {1, 2}, frozenset(), range(3), 1j, ..., DEEP),
    *((1, 2, 3), (), {1: 2}, {None: 1}, {(1, 2): 3}, 10**5000, iter([1])),
)
"""What only Python can say."""

NAMES = (
    "self",
    "cls",
    "name",
    "names",
    "",
    " ",
    "x" * 500,
    "patch",
    "data",
    "a.b",
    "\n",
    "__init__",
)


def plausible(random: Random) -> dict[str, Any]:
    """A small spec as a person would write it; most are valid."""
    backbone, cell = _backbone(random)
    grid = [random.choice((1, 2, 2, 3, 4)) for _ in range(3)]
    spec: dict[str, Any] = {
        "backbone": backbone,
        "sparse_backend": random.choice(("cells", "dense")),
        "masker": _masker(random),
        "views": random.choice(("single", {"name": "single"})),
        "losses": random.choice(("mse", ["mse", "l1"], ["l1", {"name": "info_nce", "width": 8}])),
        "encoder_input": random.choice(("visible", "visible", "zeroed")),
        "target": random.choice(("patch_normalised", "voxels")),
        "decoder": {
            "width": random.choice((None, 8, 12)),
            "head_stride": random.choice((1, 2, 4, 8)),
            "densify": random.random() < 0.8,
            "norm": random.choice(("layer", "layer", "batch", "instance")),
            "token": random.random() < 0.8,
        },
        "data": {"patch": [edge * n for edge, n in zip(cell, grid, strict=True)]},
        "optimizer": {"name": random.choice(("adamw", "sgd")), "lr": 10 ** random.uniform(-5, -2)},
        "trainer": {
            "steps": random.randint(1, 100),
            "precision": random.choice((32, "32", "bf16")),
        },
        "seed": random.randrange(2**32),
    }
    if random.random() < 0.1:
        spec["decoder"] = {"name": "wavelet", "width": random.choice((None, 8)), "mlp_ratio": 1}
    if random.random() < 0.15:  # of total stride 1, so cells stay as they are
        options = {"norm": random.choice(("instance", "batch"))}
        spec["feature_encoder"] = {"name": "resunet", "widths": [8], "blocks": [1], **options}
        spec["target"] = random.choice((spec["target"], "features"))
    if random.random() < 0.7:
        spec["data"]["volumes"] = random.choice(("scans", ["a.nii", "b.nii"]))
    else:
        spec["data"]["channels"] = {"t1": "*_t1.nii", "t2": "*_t2.nii"}
    if spec["masker"]["name"] == "mim" or random.random() < 0.1:  # or: nothing is nested
        spec["views"] = random.choice(("single", "nested", {"name": "nested"}))
    if random.random() < 0.2:
        spec["views"] = random.choice(
            ("mask_in_mask", {"name": "mask_in_mask", "shrink": [1, 2, 2]})
        )
        if random.random() < 0.5:
            spec["losses"] = ["mse", {"name": "info_nce", "between": "views"}]
    for name in random.sample(sorted(spec), random.randint(0, 4)):
        if name not in ("data", "backbone"):
            del spec[name]
    return spec


def _backbone(random: Random) -> tuple[dict[str, Any], list[int]]:
    """Options of a small network, and its total stride."""
    triple = lambda *of: [random.choice(of) for _ in range(3)]  # noqa: E731
    stages = random.randint(1, 3)
    widths = [random.choice((8, 12, 16)) for _ in range(stages)]
    kind = random.choice(("waveformer", "waveformer", "resunet", "monai"))
    if kind == "monai" and random.random() < 0.5:
        network: dict[str, Any] = {"name": "resnet", "depth": 10, "block_inplanes": [4, 4, 8, 8]}
        network["no_max_pool"] = random.random() < 0.5
        return {"name": kind, "network": network}, [8 if network["no_max_pool"] else 16] * 3
    if kind == "monai":
        norm = random.choice(("group", "batch", "instance"))
        network = {"name": "segresnet", "blocks_down": [1] * stages, "norm": norm}
        return {"name": kind, "network": network}, [2 ** (stages - 1)] * 3
    strides = [triple(1, 2, 2) for _ in range(stages)]
    if kind == "resunet":
        strides = [s if i == 0 or s != [1, 1, 1] else [2, 2, 2] for i, s in enumerate(strides)]
        options = {"widths": widths, "blocks": [1] * stages, "strides": strides}
        options["norm"] = random.choice(("instance", "batch"))
    else:
        options = {"widths": widths, "depths": [1] * stages, "patch": strides[0]}
        options |= {"merging": strides[1:], "mlp_ratio": random.choice((1, 2.5))}
        for name, choices in {
            "details": ("identity", "mlp", "depthwise"),
            "attention": ("coarsest", "every_level"),
            "positions": ("rope", "relative_bias", "none"),
            "ffn": ("mlp", "conv", "conv_norm"),
            "window": (1, 2, [2, 4, 2]),
            "preset": (None, "paper"),
        }.items():
            if random.random() < 0.3:
                options[name] = random.choice(choices)
    total = [math.prod(axis) for axis in zip(*strides, strict=True)]
    return {"name": kind, **options}, total


def _masker(random: Random) -> Any:
    ratio = random.choice((0.25, 0.5, 0.75, [0.3, 0.7]))
    if random.random() < 0.5:
        return {"name": "random", "ratio": ratio, "block": random.choice((1, "auto", [1, 2, 1]))}
    return {"name": "mim", "global_ratio": ratio}


def spoiled(random: Random, *, objects: bool = False) -> dict[str, Any]:
    """A plausible spec with a few changes that nobody would make on purpose."""
    spec = plausible(random)
    values = VALUES + OBJECTS if objects else VALUES
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(spec))
        holder, key = random.choice(places)
        change = random.randrange(6)
        if change == 0:
            other, name = random.choice(places)
            holder[key] = _copy(other[name])
        elif change == 1:
            del holder[key]
        elif change == 2 and isinstance(holder, dict):
            holder[random.choice(NAMES)] = holder.pop(key)
        elif change == 3 and isinstance(holder, dict):
            holder[random.choice(NAMES)] = _copy(random.choice(values))
        elif change == 4 and isinstance(holder, list):
            holder.append(_copy(random.choice(values)))
        else:
            holder[key] = _copy(random.choice(values))
        if not spec:
            return spec
    return spec


def _copy(value: Any, *, depth: int = 10) -> Any:
    """The same lists and mappings anew, to a depth."""
    if depth and isinstance(value, dict):
        return {key: _copy(one, depth=depth - 1) for key, one in value.items()}
    if depth and isinstance(value, list):
        return [_copy(one, depth=depth - 1) for one in value]
    return value


def _places(value: Any, *, depth: int = 5) -> Iterator[tuple[Any, Any]]:
    """(holder, key) of everything inside."""
    if depth and isinstance(value, dict | list) and len(value) < 50:
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key], depth=depth - 1)


def garbled(random: Random, text: str) -> str:
    """A text with a few characters or lines changed."""
    signs = "{}[]:,-#&*!|>'\"%@`\t\n ?~<=.0e_\0\ufeff\x85\u2028é"
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        at = random.randrange(len(text) + 1)
        to = min(len(text), at + random.choice((1, 1, 2, 10, 60)))
        change = random.randrange(5)
        if change == 0:
            text = text[:at] + text[to:]
        elif change == 1:
            text = text[:at] + text[at:to] * 2 + text[to:]
        elif change == 2:
            text = text[:at] + random.choice(signs) * random.choice((1, 1, 1, 3, 500)) + text[at:]
        elif change == 3:
            text = text[:at] + random.choice(signs) + text[at + 1 :]
        else:
            lines = text.split("\n")
            lines.insert(random.randrange(len(lines) + 1), random.choice(lines))
            text = "\n".join(lines)
    return text
