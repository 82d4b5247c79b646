"""Weights are copied whole or not at all, and the report says what became of each."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ssl3d.weights import transfer


class Net(nn.Module):
    def __init__(self, *, inputs: int = 1, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, width, 3)
        self.norm = nn.BatchNorm3d(width)
        self.head = nn.Conv3d(width, 2, 1)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_everything_is_copied_and_reported() -> None:
    source, target = Net(), Net()
    source.norm.running_mean.fill_(3.0)
    report = transfer(source.state_dict(), target)
    assert set(report.loaded) == set(target.state_dict())
    assert (report.missing, report.unexpected, report.wrong_shape, report.adapted) == (
        (),
        (),
        {},
        (),
    )
    for name, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


def test_the_error_names_all_that_does_not_fit_and_nothing_is_copied() -> None:
    source = weights_of(Net(width=6))
    del source["norm.running_var"]
    source["stray"] = torch.zeros(1)
    target = Net()
    before = weights_of(target)
    with pytest.raises(ValueError, match="nothing was copied") as caught:
        transfer(source, target)
    for name in ("norm.running_var", "stray", "first.weight", "norm.weight", "head.weight"):
        assert name in str(caught.value)
    assert "(6, 1, 3, 3, 3)" in str(caught.value)
    for name, value in target.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_what_is_allowed_by_name_may_stay() -> None:
    source = {f"old.{n}": v for n, v in weights_of(Net()).items()} | weights_of(Net())
    for name in ("head.weight", "head.bias"):
        del source[name]
    target = Net()
    before = weights_of(target)
    report = transfer(source, target, allow_missing=["head.*"], allow_unexpected=["old.*"])
    assert set(report.missing) == {"head.weight", "head.bias"}
    assert len(report.unexpected) == len(before)
    assert torch.equal(target.head.weight, before["head.weight"])
    assert torch.equal(target.first.weight, source["first.weight"])
    assert "2 missing in the source: head.weight, head.bias" in str(report)


def test_a_head_of_another_shape_may_stay_when_allowed() -> None:
    source = weights_of(Net())
    source["head.weight"], source["head.bias"] = torch.zeros(5, 4, 1, 1, 1), torch.zeros(5)
    report = transfer(source, Net(), allow_missing=["head.*"])
    assert set(report.wrong_shape) == {"head.weight", "head.bias"}
    assert report.wrong_shape["head.bias"] == ((5,), (2,))


def test_a_pattern_does_not_excuse_other_names() -> None:
    source = weights_of(Net())
    del source["norm.weight"], source["head.weight"]
    with pytest.raises(ValueError, match=r"Refused: norm\.weight\. allow_missing"):
        transfer(source, Net(), allow_missing=["head.*"])


def test_loading_nothing_is_an_error_even_where_all_may_be_missing() -> None:
    with pytest.raises(ValueError, match="load nothing"):
        transfer({}, Net(), allow_missing=["*"])


def test_other_input_channels_are_an_error_unless_averaging_is_asked() -> None:
    source = weights_of(Net(inputs=2))
    target = Net(inputs=4)
    with pytest.raises(ValueError, match=r"first\.weight \(source \(4, 2, 3, 3, 3\)"):
        transfer(source, target)
    report = transfer(source, target, average_inputs="first.weight")
    assert report.adapted == ("first.weight",)
    volume = torch.randn(1, 1, 5, 5, 5)
    expected = nn.functional.conv3d(
        volume.expand(-1, 2, -1, -1, -1), source["first.weight"], source["first.bias"]
    )
    got = target.first(volume.expand(-1, 4, -1, -1, -1))
    torch.testing.assert_close(got, expected)


def test_averaging_does_not_hide_another_width() -> None:
    with pytest.raises(ValueError, match=r"of another shape: first\.weight"):
        transfer(weights_of(Net(inputs=2, width=6)), Net(inputs=4), average_inputs="first.weight")


def test_averaging_nothing_is_not_reported() -> None:
    report = transfer(weights_of(Net()), Net(), average_inputs="first.weight")
    assert report.adapted == ()


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 2)
        self.b = nn.Sequential(self.a)


def test_one_name_fills_a_tensor_with_two() -> None:
    target = Shared()
    report = transfer({"b.0.weight": torch.ones(2, 2), "a.bias": torch.ones(2)}, target)
    assert report.loaded == ("a.weight", "a.bias")
    assert bool((target.a.weight == 1).all())


def test_two_names_of_one_tensor_must_agree() -> None:
    source = {
        "a.weight": torch.ones(2, 2),
        "b.0.weight": torch.zeros(2, 2),
        "a.bias": torch.ones(2),
    }
    with pytest.raises(ValueError, match=r"a\.weight and b\.0\.weight are one tensor"):
        transfer(source, Shared())


def test_the_module_keeps_its_precision() -> None:
    target = Net().double()
    transfer(weights_of(Net()), target)
    assert target.first.weight.dtype == torch.float64
