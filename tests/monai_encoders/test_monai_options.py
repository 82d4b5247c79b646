"""Options of the MONAI backbone: names, stages, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ssl3d.geometry import Stage
from ssl3d_plugins.monai_encoders import Monai, ResNet, SegResNet


def test_a_network_by_name_or_with_options() -> None:
    assert Monai(network="resnet").network == ResNet()
    assert Monai(network={"name": "segresnet", "init_filters": 16}).network == SegResNet(
        init_filters=16
    )
    assert Monai().network == SegResNet()


def test_segresnet_stages() -> None:
    config = Monai(network=SegResNet(init_filters=16, blocks_down=(1, 2, 4)))
    assert config.stages() == (
        Stage((1, 1, 1), 16),
        Stage((2, 2, 2), 32),
        Stage((4, 4, 4), 64),
    )


def test_resnet_stages() -> None:
    strides = [s.stride[0] for s in Monai(network=ResNet(conv1_t_stride=2)).stages()]
    assert strides == [2, 4, 8, 16, 32]
    plain = Monai(network=ResNet(depth=50, no_max_pool=True)).stages()
    assert [s.stride[0] for s in plain] == [1, 2, 4, 8]
    assert [s.channels for s in plain] == [256, 512, 1024, 2048]


def test_instance_norm_stages() -> None:
    def strides(**options: Any) -> list[int]:
        found = Monai(network=SegResNet(init_filters=8, **options)).instance_norm_stages()
        return [stage.stride[0] for stage in found]

    assert strides(norm="instance") == [1, 2, 4, 8]
    assert strides(norm="batch") == []
    assert strides(norm="group", num_groups=4) == []
    # Only blocks have norms.
    assert strides(norm="instance", blocks_down=(0, 1, 0)) == [2]
    # One channel in each group is instance norm.
    assert strides(norm="group", num_groups=8) == [1]
    assert Monai(network="resnet").instance_norm_stages() == ()
    assert Monai(network="resnet").batch_norm_stages() == Monai(network="resnet").stages()
    for norm, number in (("batch", 4), ("instance", 0), ("group", 0)):
        network = SegResNet(init_filters=8, norm=norm)
        assert len(Monai(network=network).batch_norm_stages()) == number


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("densenet", "'segresnet', 'resnet'"),
        ({"name": "segresnet", "depth": 10}, "depth"),
        ({"name": "segresnet", "init_filters": 12}, "num_groups is 8: must divide init_filters"),
        ({"name": "segresnet", "blocks_down": ()}, "at least 1 item"),
        ({"name": "resnet", "depth": 20}, "10, 18, 34, 50, 101, 152 or 200"),
        ({"name": "resnet", "conv1_t_size": 4}, "use odd numbers"),
        ({"name": "resnet", "conv1_t_stride": 4}, "use 1 or 2 on each axis"),
    ],
)
def test_refused(network: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Monai(network=network)


def test_options_need_no_torch(run_python: Any) -> None:
    code = (
        "import sys; from ssl3d_plugins.monai_encoders import Monai; c = Monai(network='resnet'); "
        "c.stages(); c.operations(); assert not {'torch', 'monai'} & set(sys.modules)"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
