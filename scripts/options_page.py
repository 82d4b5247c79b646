"""Write docs/options.md: every option of a spec and of every component that ships here."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel

from ssl3d.cli.print_options import facts
from ssl3d.plugin.catalogue import components
from ssl3d.plugin.option import Option, options_of, parts_of, tag_of
from ssl3d.tasks.finetune.spec import FinetuneSpec
from ssl3d.tasks.pretrain.spec import ExperimentSpec

PAGE = Path(__file__).parents[1] / "docs" / "options.md"
SPECS = (
    ("The spec", "", ExperimentSpec),
    ("The spec of fine-tuning", " of fine-tuning", FinetuneSpec),
)
HEAD = """# Options

Every option of a spec, of pre-training and of fine-tuning, then every option of each component
that ships with `ssl3d`. Parts that both specs have are listed once.
`ssl3d options`, with `--of finetune` for the second, and `ssl3d components NAME` show the same for
what is installed.

This page is written by `python scripts/options_page.py`; a test keeps it current.
"""


def page() -> str:
    """The text of the page."""
    return "\n".join([HEAD, *_spec(), *_components()])


def _spec() -> Iterator[str]:
    known: list[tuple[str, type[BaseModel]]] = []
    for title, about, spec in SPECS:
        yield f"## {title}\n"
        parts = [part for part in parts_of(spec) if part not in known]
        known += parts
        yield from _parts(parts, about=about)


def _parts(parts: list[tuple[str, type[BaseModel]]], *, about: str) -> Iterator[str]:
    paths = [path for path, _ in parts]
    for path, model in parts:
        which = f" ({tag_of(model)})" if paths.count(path) > 1 else ""
        if path:
            yield f"### `{path}`{which}{about}\n"
        yield _paragraph(model.__doc__)
        yield from _list(options_of(model))


def _components() -> Iterator[str]:
    yield "## Components\n"
    for component in components():
        if component.distribution != "ssl3d":
            continue
        yield f"### {component.kind.replace('_', ' ')} `{component.name}`\n"
        yield _paragraph(component.description)
        yield from _list(component.options)


def _paragraph(text: str | None) -> str:
    return inspect.cleandoc(text or "").partition("\n\n")[0].replace("\n", " ") + "\n"


def _list(options: Iterable[Option]) -> Iterator[str]:
    for option in options:
        yield f"- **`{option.name}`** ({', '.join(facts(option))}): {option.description}"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
