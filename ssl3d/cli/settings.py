"""Values that the command line sets in a spec."""

from __future__ import annotations

import os
from typing import Any


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """`["optimizer.lr=1e-4"]` to `{"optimizer.lr": 1e-4}`; raises SpecError."""
    from ssl3d.plugin.spec_error import SpecError
    from ssl3d.plugin.spec_file import parse_yaml

    values: dict[str, Any] = {}
    for given in settings:
        try:
            setting = os.fsencode(given).decode()  # also where the locale is no UTF-8
        except UnicodeDecodeError:
            raise SpecError([("--set", f"given {given!a}; must be UTF-8")]) from None
        path, equals, value = setting.partition("=")
        if not (path and equals):
            raise SpecError([("--set", f"given {setting!r}; must be PATH=VALUE")])
        path = path.strip()
        if path in values:
            raise SpecError([(path, "set twice: give one value")])
        values[path] = parse_yaml(value, path=path)
    return values
