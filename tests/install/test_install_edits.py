"""The edits fit the real source, and an edit that does not fit says so."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ssl3d_plugins.sparse_minkowski.install.edits import Edit, apply_edits, edit_set_version
from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
from ssl3d_plugins.sparse_minkowski.install.minkowski_edits import (
    CUDA_EDITS,
    MINKOWSKI_EDITS,
    PYTHON_EDITS,
)

GREETING = Edit(path="a.txt", old="hello\n", new="goodbye\n", why="to part")


def test_edits_fit_the_real_source(source: Path) -> None:
    paths = {edit.path for edit in MINKOWSKI_EDITS}
    before = {path: (source / path).read_text() for path in paths}
    apply_edits(source, edits=MINKOWSKI_EDITS)
    for path in paths:
        assert (source / path).read_text() != before[path]


def test_each_edit_fits_the_real_source_alone(source: Path) -> None:
    for edit in MINKOWSKI_EDITS:
        text = (source / edit.path).read_text()
        assert text.count(edit.old) == 1, edit


def test_edited_python_imports_no_moved_name(source: Path) -> None:
    apply_edits(source, edits=MINKOWSKI_EDITS)
    moved = {"Sequence", "Iterable", "Mapping", "Callable", "Iterator"}
    for file in (source / "MinkowskiEngine").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "collections":
                assert moved.isdisjoint(alias.name for alias in node.names), file


def test_edited_cuda_keeps_no_removed_call(source: Path) -> None:
    apply_edits(source, edits=MINKOWSKI_EDITS)
    for file in (source / "src").rglob("*.cu*"):
        text = file.read_text()
        assert "thrust::unary_function" not in text, file
        # Once for each signature, in the helper.
        calls = 2 if file.name == "concurrent_unordered_map.cuh" else 0
        assert text.count("cudaMemPrefetchAsync(") == calls, file


def test_applying_twice_is_an_error_that_names_the_file(source: Path) -> None:
    apply_edits(source, edits=PYTHON_EDITS)
    with pytest.raises(InstallError, match=r"MinkowskiEngine/MinkowskiCommon\.py.*0 times"):
        apply_edits(source, edits=PYTHON_EDITS)


@pytest.mark.parametrize("content", ["something else\n", "hello\nhello\n"])
def test_text_must_be_there_once(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.txt"
    file.write_text(content)
    with pytest.raises(InstallError, match="to part"):
        apply_edits(tmp_path, edits=[GREETING])
    assert file.read_text() == content


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=r"a\.txt: no such file"):
        apply_edits(tmp_path, edits=[GREETING])


def test_nothing_is_written_when_one_edit_fails(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    (tmp_path / "b.txt").write_text("other\n")
    with pytest.raises(InstallError, match=r"b\.txt"):
        apply_edits(tmp_path, edits=[GREETING, GREETING._replace(path="b.txt")])
    assert (tmp_path / "a.txt").read_text() == "hello\n"


def test_edits_of_one_file_add_up(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    second = Edit(path="a.txt", old="goodbye\n", new="farewell\n", why="politer")
    apply_edits(tmp_path, edits=[GREETING, second])
    assert (tmp_path / "a.txt").read_text() == "farewell\n"


def test_version_follows_what_the_edits_do() -> None:
    version = edit_set_version([GREETING])
    assert version == edit_set_version([GREETING._replace(why="another reason")])
    for field in ("path", "old", "new"):
        assert version != edit_set_version([GREETING._replace(**{field: "changed\n"})])
    assert edit_set_version(PYTHON_EDITS) != edit_set_version(PYTHON_EDITS + CUDA_EDITS)
