"""How windows are taken: as is asked for, else as the runs took them."""

from __future__ import annotations

from collections.abc import Sequence

from ssl3d.data.labelled.augment_spec import sides_of
from ssl3d.tasks.finetune.window_spec import WindowSpec

FREE = "batch"
"""Changes nothing of what is predicted, so runs may differ in it."""


def windows_of(
    runs: Sequence[WindowSpec], *, asked: WindowSpec | None, outputs: Sequence[str]
) -> WindowSpec:
    """The options that `asked` was made with, the others as the runs have them.

    Args:
        runs: of each run.
        asked: options that were not given to it are none of it.
        outputs: names of what is predicted.

    Raises:
        ValueError: the runs differ in an option that is not asked for, or names that have a left
            and a right form would be mirrored along x.
    """
    given = {} if asked is None else {n: getattr(asked, n) for n in asked.model_fields_set}
    if given.get("precision") == "auto":
        del given["precision"]
    found = {}
    for name in WindowSpec.model_fields:
        values = [getattr(one, name) for one in runs]
        if name in given:
            found[name] = given[name]
        elif name == FREE:
            found[name] = min(values)
        elif len(set(values)) > 1:
            raise ValueError(
                f"the runs differ in windows.{name}, {values[0]!r} and "
                f"{next(v for v in values if v != values[0])!r}: say which by --{name} "
                f"(windows=WindowSpec({name}=...))"
            )
        else:
            found[name] = values[0]
    windows = WindowSpec(**found)
    pair = sides_of(outputs) if 2 in windows.mirror else None
    if pair is not None:
        raise ValueError(
            f"--mirror: {pair[0]!r} and {pair[1]!r} change places in a window that is mirrored "
            "along x: leave x out"
        )
    return windows
