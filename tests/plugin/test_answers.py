"""What a stranger's config answers and builds is judged: what is wrong names the component."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ssl3d import ExperimentSpec
from ssl3d.geometry import Operation, Stage
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.plugin.answer import AnswerError
from ssl3d.plugin.config import Problem
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d_plugins.losses import MSE
from ssl3d_plugins.maskers import Random
from ssl3d_plugins.maskers.random_masker import RandomMasker
from ssl3d_plugins.resunet import ResUNet

GRID = (4, 4, 4)
OP = Operation("conv3d", (3, 3, 3), (1, 1, 1), (1, 1, 1), 1, (1, 1))


def fails(*_: Any, **__: Any) -> Any:
    raise KeyError("oops")


def fails_midway(*_: Any, **__: Any) -> Iterable[Problem]:
    yield Problem("ratio", "something")
    raise KeyError("oops")


def gives(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def masker(answer: str, method: Any) -> Any:
    made = type("Odd", (Random,), {answer: named(method, answer)})
    return made()


def named(method: Any, name: str) -> Any:
    method.__name__ = name
    return method


def use(masker: MaskerConfig) -> None:
    """What a spec and a run ask of it."""
    spec = ExperimentSpec(
        backbone=ResUNet(widths=(4, 8), blocks=(1, 1)),
        masker=masker,
        data={"volumes": "nowhere", "patch": 32},
    )
    spec.masker.weights()


@pytest.mark.parametrize(
    ("answer", "method", "message"),
    [
        ("problems", fails, r"problems\(\) of its config raises KeyError: 'oops'"),
        ("problems", fails_midway, r"problems\(\) of its config raises KeyError: 'oops'"),
        ("problems", gives(["just text"]), r"gives \['just text'\]; must be Iterable\[Problem\]"),
        ("problems", gives("just text"), r"gives 'just text'; must be Iterable\[Problem\]"),
        ("problems", gives(None), r"gives None; must be Iterable\[Problem\]"),
        ("cautions", gives([3]), r"cautions\(\) .* gives \[3\]; must be Iterable\[Problem\]"),
        ("weights", gives(None), r"weights\(\) .* gives None; must be tuple\[float, \.\.\.\]"),
        ("fewest_visible", gives("many"), r"gives 'many'; must be int \| None"),
    ],
)
def test_a_spec_says_which_component_answers_what(answer: str, method: Any, message: str) -> None:
    with pytest.raises(AnswerError, match=rf"^masker 'random' of [\w.]+: .*{message}"):
        use(masker(answer, method))


@pytest.mark.parametrize(
    ("base", "answer"), [(ResUNet, "stages"), (ResUNet, "operations"), (MSE, "needs")]
)
def test_answers_of_every_kind_are_judged(base: type[Any], answer: str) -> None:
    config = type("Odd", (base,), {answer: named(gives(["x"]), answer)})()
    with pytest.raises(AnswerError, match=rf"{answer}\(\) of its config gives \['x'\]; must be "):
        getattr(config, answer)()


def test_a_backends_reasons_are_texts_and_not_a_text() -> None:
    class Odd(SparseBackendConfig):
        name: str = "odd"

        def problems(self, op: Operation) -> Any:  # noqa: ARG002
            return "no convolution"

    with pytest.raises(AnswerError, match=r"gives 'no convolution'; must be Iterable\[str\]"):
        Odd().supports(OP)


def test_what_fits_is_handed_on_as_the_type_that_is_promised() -> None:
    stage = Stage((2, 2, 2), 4)

    class Loose(ResUNet):
        def instance_norm_stages(self) -> Any:
            return [stage]

    assert Loose().instance_norm_stages() == (stage,)
    assert masker("problems", gives([("ratio", "none")])).problems(grid=GRID)[0].option == "ratio"


class NoMasker:
    def __init__(self, config: MaskerConfig) -> None:
        self.config = config


class Fails(RandomMasker):
    def __init__(self, config: MaskerConfig) -> None:  # noqa: ARG002
        raise RuntimeError("cannot today")


class Refuses(RandomMasker):
    def __init__(self, config: MaskerConfig) -> None:  # noqa: ARG002
        raise ValueError("a licence is needed")


@pytest.mark.parametrize(
    ("made", "kind", "message"),
    [
        ("NoMasker", AnswerError, r"masker 'odd' of .*:NoMasker gives .*must be a .*\.Masker"),
        ("Fails", AnswerError, r"masker 'odd' of .*:Fails raises RuntimeError: cannot today"),
        ("Refuses", ValueError, r"^a licence is needed$"),
    ],
)
def test_what_is_built_is_of_its_kind(made: str, kind: type[ValueError], message: str) -> None:
    class Odd(MaskerConfig):
        builds = f"{__name__}:{made}"
        name: str = "odd"

    with pytest.raises(kind, match=message):
        Odd().build()
