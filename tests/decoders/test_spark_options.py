"""The decoder in a spec: names, mappings, configs, and what validation says of it."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from ssl3d import ExperimentSpec
from ssl3d.geometry import Operation, Stage
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.plugin.spec_error import SpecError
from ssl3d_plugins.decoders import Spark

DATA = {"volumes": "none", "patch": 32, "batch_size": 8}


def spec(**parts: Any) -> ExperimentSpec:
    return ExperimentSpec(data=DATA, **parts)


@pytest.mark.parametrize(
    "given",
    ["spark", {}, {"head_stride": 8}, {"name": "spark"}, Spark(), Spark(head_stride=8)],
    ids=repr,
)
def test_ways_to_name_it(given: Any) -> None:
    assert spec(decoder=given).decoder == spec().decoder == Spark()
    assert spec(decoder=given) == spec()


def test_a_mapping_without_a_name_is_about_spark() -> None:
    """As in specs from before there were names; and by path."""
    assert spec(decoder={"width": 16, "norm": "batch"}).decoder == Spark(width=16, norm="batch")
    assert spec().with_values({"decoder.width": 16}).decoder == Spark(width=16)
    old = spec(decoder={"width": 16}).to_dict()
    del old["decoder"]["name"]
    assert ExperimentSpec(**old) == spec(decoder=Spark(width=16))


def test_python_specs_from_before_find_their_class() -> None:
    from ssl3d.spec import DecoderSpec

    assert spec(decoder=DecoderSpec(head_stride=4)).decoder == Spark(head_stride=4)
    with pytest.raises(ImportError, match="Decoders"):
        from ssl3d.spec import Decoders  # noqa: F401


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"widht": 3}, r"decoder\.widht: unknown option\. Did you mean 'width'\?"),
        ({"width": 3}, r"decoder\.width: given 3; must be greater than or equal to 8"),
        ("sparc", r"decoder: unknown decoder 'sparc'\. Did you mean 'spark'\?"),
        (3, r"decoder: given 3; must be a decoder name \(.*spark.*\), a mapping"),
    ],
)
def test_what_is_refused(given: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(decoder=given)


def test_stages_that_it_cannot_go_up_between() -> None:
    stages = (Stage((2, 2, 2), 8), Stage((3, 4, 4), 8))
    (problem,) = Spark().problems(stages=stages)
    assert "stride 3 × 4 × 4 after one of 2 × 2 × 2" in problem.message
    assert not list(Spark().problems(stages=(Stage((2, 2, 2), 8), Stage((6, 4, 2), 8))))


class Told(DecoderConfig):
    """A decoder that only says what it would need."""

    name: str = "told"
    kernel: int = 3

    def problems(self, **_):
        return []

    def operations(self, **_):
        return (Operation("conv3d", (self.kernel,) * 3, padding=(1, 1, 1), groups=2),)

    def build(self, **context):
        raise NotImplementedError


def test_its_operations_are_compared_with_the_backend() -> None:
    with pytest.raises(SpecError, match=r"sparse_backend: 'spconv' cannot do what decoder 'told'"):
        spec(decoder=Told(), sparse_backend="spconv")
    with pytest.raises(SpecError, match=r"decoder: asks for an operation without a meaning"):
        spec(decoder=Told(kernel=4))
    for parts in ({"encoder_input": "zeroed"}, {"losses": "info_nce"}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec(decoder=Told(kernel=4), **parts)


def test_options_of_a_decoder_that_no_loss_needs_are_said_to_change_nothing() -> None:
    with pytest.warns(UserWarning, match=r"decoder: none is built.* options of 'spark' change"):
        spec(decoder={"width": 16}, losses="info_nce")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not spec(losses="info_nce").restores
        assert spec(decoder={"width": 16}, losses=["info_nce", "l1"]).restores
