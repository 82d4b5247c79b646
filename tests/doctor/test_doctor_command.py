"""`ssl3d doctor`: what is examined, exit codes, the table and the JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from ssl3d.cli.main import app
from ssl3d.doctor import examine as module
from ssl3d.doctor.apart import Part
from ssl3d.doctor.result import Result
from ssl3d.doctor.steps import PART as STEPS
from ssl3d.plugin.registry import UnknownComponentError, installed

IMPORT = Result("torch", "import", "ok", 0.1, "")
CUDA = Result("torch", "CUDA", "ok", 0.1, "", device="cuda")

Answer = Callable[[Part], list[Result]]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Replace the processes by an answer for each sparse backend; gives the parts asked for."""

    def pretend(answer: Answer, *, gpu: bool = False, torch_works: bool = True) -> list[Part]:
        asked: list[Part] = []

        def examine_apart(part: Part, *, limit: float) -> list[Result]:
            assert limit > 0
            asked.append(part)
            if part.title == STEPS:
                assert arguments(part) == {"device": "cuda"}
                return [Result(STEPS, "waveformer in 32", "ok", 0.1, "", device="cuda")]
            if part.title != "torch":
                return answer(part)
            if not torch_works:
                return [Result("torch", "import", "failed", 0.1, "OSError", "install torch")]
            needed = arguments(part)["need_cuda"]
            cpu_build = Result("torch", "CUDA", "not there", 0.1, "", "", "cuda", needed)
            return [IMPORT, CUDA if gpu else cpu_build]

        monkeypatch.setattr(module, "examine_apart", examine_apart)
        return asked

    return pretend


def arguments(part: Part) -> dict[str, Any]:
    """What the function that lists the checks is given."""
    assert isinstance(part.checks, partial)
    names = {"name": part.checks.args[0]} if part.checks.args else {}
    return {**names, **part.checks.keywords}


def line(part: Part, status: Any = "ok", check: str = "library", **more: Any) -> Result:
    given = arguments(part)
    return Result(
        part.title,
        check,
        status,
        1.25,
        more.get("detail", "found [this]"),
        given["advice"] if status != "ok" else "",
        given["device"],
        given["required"],
    )


def works(part: Part) -> list[Result]:
    return [line(part)]


def absent(*names: str) -> Answer:
    return lambda part: [line(part, "not there" if arguments(part)["name"] in names else "ok")]


def failing(*names: str) -> Answer:
    return lambda part: [line(part, "failed" if arguments(part)["name"] in names else "ok")]


def run(*options: str) -> Any:
    return CliRunner().invoke(app, ["doctor", *options], obj=SimpleNamespace())


def tried(asked: list[Part]) -> list[tuple[str, str]]:
    parts = [arguments(part) for part in asked if part.title not in ("torch", STEPS)]
    return [(given["name"], given["device"]) for given in parts]


def test_every_installed_backend_is_tried_on_every_device(world) -> None:  # type: ignore[no-untyped-def]
    names = installed().names("sparse_backend")
    asked = world(works)
    assert run().exit_code == 0
    assert tried(asked) == [(name, "cpu") for name in names]
    asked = world(works, gpu=True)
    assert run().exit_code == 0
    assert tried(asked) == [(name, device) for name in names for device in ("cpu", "cuda")]


@pytest.mark.parametrize(
    ("options", "answer", "code"),
    [
        ((), works, 0),
        ((), failing("cells"), 1),
        ((), failing("spconv"), 1),
        ((), absent("minkowski", "spconv"), 0),
        (("--strict",), works, 0),
        (("--strict",), absent("minkowski"), 1),
        (("--strict",), absent("spconv"), 1),
        (("--strict",), failing("spconv"), 1),
        (("--strict", "--backend", "cells"), works, 0),
        (("--strict", "--backend", "cells"), absent("minkowski"), 1),
        (("--strict", "--backend", "cells"), failing("spconv"), 1),
        (("--strict", "--backend", "cells"), failing("dense"), 0),
        (("--backend", "minkowski"), absent("minkowski"), 1),
        (("--backend", "cells"), absent("minkowski"), 0),
        (("--backend", "cells"), failing("minkowski"), 0),
        (("--device", "cpu"), works, 0),
        (("--device", "cuda"), works, 1),
    ],
)
def test_exit_code(world, options: tuple[str, ...], answer: Answer, code: int) -> None:  # type: ignore[no-untyped-def]
    world(answer)
    result = run(*options)
    assert result.exit_code == code, result.output
    assert ("did not pass" in result.output) == (code == 1)


def test_what_is_asked_for_is_all_that_is_tried(world) -> None:  # type: ignore[no-untyped-def]
    asked = world(works, gpu=True)
    assert run("--backend", "dense", "--backend", "cells", "--device", "cuda").exit_code == 0
    assert tried(asked) == [("dense", "cuda"), ("cells", "cuda")]
    assert arguments(asked[0]) == {"need_cuda": True}
    assert asked[1].title == STEPS
    assert all(arguments(part)["required"] for part in asked[2:])


def test_steps_are_tried_on_a_gpu_and_said_where_there_is_none(world) -> None:  # type: ignore[no-untyped-def]
    asked = world(works)
    said = run()
    assert STEPS in said.output
    assert "not tried: there is no CUDA device" in said.output
    assert not [part for part in asked if part.title == STEPS]
    asked = world(works, gpu=True)
    assert "waveformer in 32" in run().output
    assert [part.title for part in asked].count(STEPS) == 1
    asked = world(works, gpu=True)
    assert STEPS not in run("--device", "cpu").output
    assert not [part for part in asked if part.title == STEPS]


def test_strict_adds_the_optional_backends_to_those_asked_for(world) -> None:  # type: ignore[no-untyped-def]
    asked = world(works)
    assert run("--strict", "--backend", "dense", "--backend", "spconv").exit_code == 0
    assert tried(asked) == [("dense", "cpu"), ("spconv", "cpu"), ("minkowski", "cpu")]
    assert all(arguments(part)["required"] for part in asked[1:])


def test_a_device_that_is_not_there_is_not_tried(world) -> None:  # type: ignore[no-untyped-def]
    asked = world(works)
    assert run("--device", "cuda").exit_code == 1
    assert tried(asked) == []


def test_torch_that_cannot_be_imported_is_one_failure(world) -> None:  # type: ignore[no-untyped-def]
    asked = world(works, torch_works=False)
    result = run()
    assert result.exit_code == 1
    assert tried(asked) == []
    assert "install torch" in result.output


def test_an_unknown_backend_is_the_users_error(world) -> None:  # type: ignore[no-untyped-def]
    world(works)
    result = run("--backend", "cels")
    assert isinstance(result.exception, UnknownComponentError)
    assert "Did you mean 'cells'?" in str(result.exception)


CHECKED = """
from fake_backend import plugin_source
exec(plugin_source())

@hookimpl
def ssl3d_checks():
    return [("fakelib", lambda: "1.0", "pip install fakelib")]
"""


def test_strict_asks_for_every_backend_whose_plugin_checks_its_library(
    world,  # type: ignore[no-untyped-def]
    plugin,  # type: ignore[no-untyped-def]
) -> None:
    plugin(CHECKED)
    world(absent("fake"))
    assert run().exit_code == 0
    result = run("--strict", "--json")
    assert result.exit_code == 1
    (missing,) = [c for c in json.loads(result.stdout)["checks"] if "fake" in c["part"]]
    assert (missing["status"], missing["required"]) == ("not there", True)
    assert "install its library again: pip install fakelib" in missing["advice"]


def test_json_has_every_field_and_nothing_else_is_printed(world) -> None:  # type: ignore[no-untyped-def]
    world(failing("spconv"))
    done = run("--json", "--backend", "spconv", "--backend", "cells")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert set(report) == {"ok", "checks"}
    assert report["ok"] is False
    names = {field.name for field in fields(Result)}
    assert all(set(check) == names for check in report["checks"])
    parts = {check["part"] for check in report["checks"]}
    assert {"versions", "plugins", "torch", "sparse backend spconv"} <= parts
    (failed,) = [check for check in report["checks"] if check["status"] == "failed"]
    assert (failed["part"], failed["device"]) == ("sparse backend spconv", "cpu")
    assert (failed["required"], failed["seconds"]) == (True, 1.25)
    assert "force-reinstall" in failed["advice"]
    world(works)
    assert json.loads(run("--json").stdout)["ok"] is True


def test_the_table_has_a_line_a_check_and_advice_where_it_failed(world) -> None:  # type: ignore[no-untyped-def]
    world(failing("spconv"))
    output = run().output
    assert "sparse backend cells on cpu" in output
    assert "found [this]" in output, "brackets are not styles"
    assert output.count("To do: ") == 1
    assert "use another sparse backend" in output
    (version,) = [row for row in output.splitlines() if "  torch " in row]
    assert torch.__version__ in version
    assert "ok" in version


def test_a_page_of_words_is_cut_in_the_table_and_whole_in_json(world) -> None:  # type: ignore[no-untyped-def]
    words = "first line\n" + "more " * 500
    world(lambda part: [line(part, "failed", detail=words)])
    output = run("--backend", "cells").output
    assert "first line … (whole with --json)" in output
    assert "more more" not in output
    checks = json.loads(run("--backend", "cells", "--json").stdout)["checks"]
    assert words in [check["detail"] for check in checks]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, ssl3d.cli.main, ssl3d.doctor.examine, ssl3d.doctor.apart\n"
        "heavy = sorted({'torch', 'numpy', 'monai', 'ssl3d_plugins'} & set(sys.modules))\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_this_installation_passes_and_a_crash_does_not(plugin) -> None:  # type: ignore[no-untyped-def]
    """The program itself: nothing is replaced but one plugin."""
    from fake_backend import plugin_source

    plugin(plugin_source(build="os.kill(os.getpid(), signal.SIGSEGV)"))
    command = [sys.executable, "-m", "ssl3d", "doctor", "--json", "--backend", "fake"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 1, done.stderr
    bad = [c for c in json.loads(done.stdout)["checks"] if c["status"] == "failed"]
    assert [(c["part"], c["check"]) for c in bad] == [("sparse backend fake", "library")]
    assert "SIGSEGV" in bad[0]["detail"]
