"""What the pages show can be run: Python blocks, specs, commands; and what they name is there.

Each page's Python blocks run in order, in one namespace, in a folder with what the pages name:
volumes in `brains` with label maps in `labels`, an encoder of `resunet` in `runs/ct` and one of
MONAI in `runs/segresnet`. A block whose first line is a comment with the name of a file is that
file, and is imported.
"""

from __future__ import annotations

import configparser
import contextlib
import importlib.util
import pkgutil
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import typer

from ssl3d import ExperimentSpec, FinetuneSpec
from ssl3d.cli.main import app
from ssl3d.plugin.spec_file import parse_yaml
from ssl3d.tasks.pretrain.export import export_encoder

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").rglob("README.md"),
        *(ROOT / "benchmarks").rglob("README.md"),
    ]
)

SMALL = {  # what pages say, and what is run in its place
    '"patch": 96': '"patch": 32, "workers": 0',
    '"steps": 20_000': '"steps": 2, "accelerator": "cpu", "pictures": 1',
    "96, 96, 96": "32, 32, 32",
}
OPTIONAL = ("dynamic_network_architectures",)
CT = {"name": "resunet", "widths": (4, 8), "blocks": (1, 1)}
SEGRESNET = {"name": "monai", "network": {"name": "segresnet", "init_filters": 8}}


def blocks(page: Path, *languages: str) -> Iterator[tuple[int, str]]:
    """Line and text of each block of these languages."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if found[1] in languages:
            yield text.count("\n", 0, found.start(2)), found[2]


def names(paths: list[Path]) -> list[Any]:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of a reader."""
    rng = np.random.default_rng(0)
    for name in ("brains", "labels"):
        (tmp_path / name).mkdir()
    for i in range(3):
        voxels = rng.normal(size=(8, 8, 8)).repeat(4, 0).repeat(4, 1).repeat(4, 2)
        image = nibabel.Nifti1Image(voxels.astype(np.float32), np.eye(4))
        nibabel.save(image, tmp_path / "brains" / f"{i}.nii.gz")
        labels = nibabel.Nifti1Image((voxels > 1).astype(np.uint8), np.eye(4))
        nibabel.save(labels, tmp_path / "labels" / f"{i}.nii.gz")
    for name, backbone in {"ct": CT, "segresnet": SEGRESNET}.items():
        spec = ExperimentSpec(backbone=backbone, data={"volumes": "brains", "patch": 32})
        out = tmp_path / "runs" / name
        export_encoder(spec.build().backbone.state_dict(), spec=spec, out=out, step=1)
        (out / "spec.yaml").write_text(spec.to_yaml(), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if tmp_path in Path(getattr(module, "__file__", None) or "/").parents:
            del sys.modules[name]


def file_of(code: str) -> str | None:
    """The file that a block is, where its first line names one."""
    first = re.match(r"# ([\w/]+\.py)\n", code)
    return first and first[1]


@pytest.mark.parametrize("page", names([page for page in PAGES if any(blocks(page, "python"))]))
def test_python_blocks_run(page: Path, folder: Path) -> None:
    code = list(blocks(page, "python"))
    for _, text in code:
        if name := file_of(text):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": page.stem}
    left_out = []
    for line, text in code:
        missing = [name for name in OPTIONAL if name in text and not importlib.util.find_spec(name)]
        if missing:
            left_out.append(f"the block at line {line} of {page.name} needs {missing[0]}")
        elif name := file_of(text):
            importlib.import_module(name.removesuffix(".py").replace("/", "."))
        else:
            for said, small in SMALL.items():
                text = text.replace(said, small)
            exec(compile("\n" * line + text, page, "exec", dont_inherit=True), namespace)
    if left_out:
        pytest.skip("; ".join(left_out))


def test_every_replacement_is_of_something_that_a_page_says() -> None:
    said = "".join(code for page in PAGES for _, code in blocks(page, "python"))
    assert [old for old in SMALL if old not in said] == []


@pytest.mark.parametrize("page", names([page for page in PAGES if any(blocks(page, "yaml"))]))
def test_yaml_blocks_are_valid_specs(page: Path) -> None:
    for _, text in blocks(page, "yaml"):
        values = parse_yaml(text)
        if "task" in values:
            tuned = FinetuneSpec(**values)
            assert FinetuneSpec.from_yaml(tuned.to_yaml()) == tuned
        else:
            spec = ExperimentSpec(**{"data": {"volumes": "brains"}, **values})
            assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of each `ssl3d …` in shell blocks, indented lines and running text."""
    text = page.read_text(encoding="utf-8")
    for _, block in blocks(page, "", "sh", "bash"):
        text += textwrap.indent(block, " " * 4)
    lines = re.findall(r"^    (?:[A-Z0-9_]+=\S+ )*ssl3d (.*)$", text, re.MULTILINE)
    for command in [*lines, *re.findall(r"`(?:[A-Z0-9_.]+=\S+ )*ssl3d ([^`]+)`", text)]:
        words = shlex.split(command, comments=True)
        yield words[: words.index(">")] if ">" in words else words


@pytest.mark.parametrize("page", names([page for page in PAGES if any(commands(page))]))
def test_commands_and_their_options_exist(page: Path) -> None:
    for words in commands(page):
        command: Any = typer.main.get_command(app)
        while words and hasattr(command, "get_command") and not words[0].startswith("-"):
            found = command.get_command(typer.Context(command), words[0])
            assert found is not None, f"{page.name}: there is no command {words[0]!r}"
            name, words = words[0], words[1:]
            # A plugin's command becomes its application here.
            command = found.make_context(name, list(words), resilient_parsing=True).command
        if words:  # else it is the name alone, without what it must be given
            with contextlib.suppress(typer.Exit):  # of --help
                command.make_context("ssl3d", list(words))


def anchors(page: Path) -> set[str]:
    """What a link may add to the page's name: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", names(PAGES))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, heading = link.partition("#")
        if not name.startswith("http"):
            target = page.parent / name if name else page
            assert target.exists(), f"{page.name} links to {link}"
            assert not heading or heading in anchors(target), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", names(PAGES))
def test_names_in_the_text_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`(ssl3d(?:_plugins)?(?:\.\w+)+)(?:\(.*?\))?`", text):
        if name != "ssl3d.commands":  # a group of entry points
            pkgutil.resolve_name(name)
    rooms = "ssl3d|ssl3d_plugins|examples|benchmarks|scripts|tests|docs"
    for path in re.findall(rf"`((?:{rooms})/[\w./]*(?:/|\.\w+))`", text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_the_page_of_the_design_shows_the_rooms_as_they_are() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    for path in re.findall(r"`([\w/]+\.py)`", page):
        assert any((ROOT / room / path).exists() for room in (".", "ssl3d")), path
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    layers = contracts["importlinter:contract:rooms"]["layers"].split()
    rooms, folders = (
        re.findall(r"^    (\w+)(?:/|\.py) +\S", part, re.MULTILINE)
        for part in page.split("`ssl3d_plugins/` holds")
    )
    assert rooms == layers
    plugins = sorted(path.name for path in (ROOT / "ssl3d_plugins").iterdir() if path.is_dir())
    assert sorted(folders) == [name for name in plugins if name[0] != "_"]
