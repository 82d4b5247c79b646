"""YAML by the core schema of YAML 1.2 (section 10.3 of its specification), on PyYAML.

PyYAML alone reads YAML 1.1, where `on` is true, 1e-4 is text, 010 is 8 and 1:30 is 90, and it lets
the last of two equal keys win.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, ClassVar

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

from ssl3d.plugin.shown import shown

DEEPEST = 32
"""Levels of lists and mappings; a spec has about five."""

LONGEST_INTEGER = 300
"""Digits. Python refuses to read some thousands of them."""


class CoreLoader(yaml.SafeLoader):
    """Text, null, true, false, integers, floats, lists and mappings whose keys are text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (none of YAML 1.1)
    yaml_constructors: ClassVar[dict[Any, Any]] = {}
    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As PyYAML's, which calls itself for what is inside, to a bounded depth."""
        self._depth += 1
        if self._depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ComposerError(None, None, f"more than {DEEPEST} levels of nesting", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """A dict whose keys are text, each once."""
        seen: set[str] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = f"{shown(key)} is no name of an option: names are text"
                raise ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                raise ConstructorError(
                    None, None, f"{shown(key)} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


class CoreDumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would read as something else."""


def read(text: str) -> Any:
    """The value of a document; raises ValueError with one line that says where and what."""
    try:
        return yaml.load(text, Loader=CoreLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(where + ", ".join(filter(None, (error.context, error.problem)))) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ValueError(f"line {line}: the character #x{error.character:04x}") from None


def write(values: Any) -> str:
    """A document that `read` gives back, mappings in the given order."""
    return yaml.dump(values, Dumper=CoreDumper, sort_keys=False, allow_unicode=True)


def write_line(value: Any) -> str:
    """The same on one line, with brackets and braces."""
    text: str = yaml.dump(
        value,
        Dumper=CoreDumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=True,
        width=math.inf,
    )
    return text.strip().removesuffix("\n...")


def _null(text: str) -> None:  # noqa: ARG001
    return None


def _bool(text: str) -> bool:
    return text.lower() == "true"


def whole(text: str) -> int:
    """An integer; raises ValueError for what is too long for any option."""
    if len(text) > LONGEST_INTEGER:
        raise ValueError(f"a number of {len(text)} digits fits no option")
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text[2:] if base != 10 else text, base)


def _float(text: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    special = {".inf": sign * math.inf, ".nan": math.nan}
    return special.get(text.lower().lstrip("+-")) or float(text)


_SCALARS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "null": (r"null|Null|NULL|~|", "nN~", _null),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF", _bool),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789", whole),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)"
        r"|\.(nan|NaN|NAN)",
        "-+.0123456789",
        _float,
    ),
}
"""What is no text, by its tag: the form, the first characters, and what it stands for."""


def _constructor(kind: str) -> Callable[[Any, Any], Any]:
    form, _, convert = _SCALARS[kind]

    def construct(loader: CoreLoader, node: Any) -> Any:
        text = loader.construct_scalar(node)
        try:
            if not re.fullmatch(form, text):  # only where the tag was written
                raise ValueError(f"{shown(text)} is no {kind}")
            return convert(text)
        except ValueError as error:
            raise ConstructorError(None, None, str(error), node.start_mark) from None

    return construct


def _constructor_of_anything_else(loader: CoreLoader, node: Any) -> Any:  # noqa: ARG001
    raise ConstructorError(None, None, f"the tag {shown(node.tag)} is not read", node.start_mark)


for _kind, (_form, _first, _) in _SCALARS.items():
    _tag = f"tag:yaml.org,2002:{_kind}"
    _starts: list[Any] = [*_first, ""] if _kind == "null" else list(_first)
    for _class in (CoreLoader, CoreDumper):
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_form})$"), _starts)
    CoreLoader.add_constructor(_tag, _constructor(_kind))
for _kind in ("str", "seq", "map"):
    _tag = f"tag:yaml.org,2002:{_kind}"
    CoreLoader.add_constructor(_tag, yaml.SafeLoader.yaml_constructors[_tag])
CoreLoader.add_constructor(None, _constructor_of_anything_else)
