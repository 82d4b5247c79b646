"""An encoder says what is wrong with a volume before a layer deep inside fails on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.plugin.registry import installed

SMALL: dict[str, dict[str, Any]] = {
    "waveformer": {"widths": (8, 16), "positions": "none"},
    "resunet": {"widths": (4, 8, 8), "norm": "batch"},
    "monai": {"network": {"name": "segresnet", "init_filters": 8, "blocks_down": (1, 1, 1)}},
}
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("resunet", {"widths": (4, 8, 8), "strides": (1, (1, 2, 2), 2)}),
    ("monai", {"network": {"name": "resnet", "depth": 10, "block_inplanes": (4, 4, 4, 4)}}),
    ("waveformer", {"widths": (8, 16), "wavelet": "db2", "positions": "none"}),
    ("waveformer", {"widths": (8, 16), "preset": "paper"}),
]
EVERY = [(name, SMALL.get(name, {})) for name in installed().names("backbone")] + OTHERS


@pytest.fixture(params=EVERY, ids=str)
def encoder(request: Any) -> Backbone:
    name, options = request.param
    config = installed().config("backbone", name=name)(**options)
    assert isinstance(config, BackboneConfig)
    return config.build(in_channels=2).eval()


def size(encoder: Backbone, by: int = 4) -> list[int]:
    return [by * edge for edge in encoder.divisor]


def test_what_fits_passes(encoder: Backbone) -> None:
    features = encoder(torch.rand(1, 2, *size(encoder)))
    assert len(features) == len(encoder.stages)
    named = encoder(volume=torch.rand(1, 2, *size(encoder)))
    assert len(named) == len(encoder.stages)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("change", [1, -1])
def test_a_size_that_does_not_fit(encoder: Backbone, axis: int, change: int) -> None:
    right, wrong = size(encoder), size(encoder)
    wrong[axis] += change
    if wrong[axis] % encoder.divisor[axis] == 0:
        assert encoder.divisor[axis] == 1
        return
    right[axis] += encoder.divisor[axis] if change > 0 else 0
    given, needed, next_ = (" × ".join(map(str, s)) for s in (wrong, encoder.divisor, right))
    message = (
        f"^volume of {given} voxels; each edge must be a multiple of {needed}, such as {next_}: "
        "crop or pad the volume$"
    )
    with pytest.raises(ValueError, match=message):
        encoder(torch.rand(1, 2, *wrong))
    with pytest.raises(ValueError, match=message):
        encoder(volume=torch.rand(1, 2, *wrong))


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_another_number_of_channels(encoder: Backbone, channels: int) -> None:
    message = f"^volume has {channels} channels; this encoder was built for 2$"
    with pytest.raises(ValueError, match=message):
        encoder(torch.rand(1, channels, *size(encoder)))


def test_what_is_no_batch_of_volumes(encoder: Backbone) -> None:
    volume = torch.rand(1, 2, *size(encoder))
    for wrong in (volume[0], volume[0, 0], volume[None]):
        with pytest.raises(ValueError, match=r"^volume has shape .*; must be \(B, C, D, H, W\)"):
            encoder(wrong)
    with pytest.raises(ValueError, match=r"^volume is of torch.int16; must be floating point"):
        encoder(volume.to(torch.int16))
    with pytest.raises(ValueError, match=r"^volume is of torch.float64; this encoder computes in"):
        encoder(volume.double())
    assert encoder.double()(volume.double())[0].dtype == torch.float64
    encoder.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert len(encoder(volume.bfloat16())) == len(encoder.stages)
    with pytest.raises(ValueError, match="there is no volume in the batch"):
        encoder(volume[:0])
    array: Any = np.asarray(volume)
    with pytest.raises(ValueError, match=r"^volume is a ndarray; must be a tensor"):
        encoder(array)
    empty: Tensor = volume[:, :, :0]
    with pytest.raises(ValueError, match=r"^volume of 0 × "):
        encoder(empty)


def test_it_can_be_copied_and_stored(encoder: Backbone, tmp_path: Any) -> None:
    torch.save(encoder, tmp_path / "encoder.pth")
    again = torch.load(tmp_path / "encoder.pth", weights_only=False)
    with pytest.raises(ValueError, match="volume has 1 channels"):
        again(torch.rand(1, 1, *size(encoder)))


@pytest.mark.parametrize("name", ["resunet", "monai"])
def test_instance_norm_over_one_site(name: str) -> None:
    options: dict[str, Any] = {"widths": (4, 8)}
    if name == "monai":
        options = {"network": {"name": "segresnet", "blocks_down": (1, 1), "norm": "instance"}}
    config = installed().config("backbone", name=name)(**options)
    assert isinstance(config, BackboneConfig)
    encoder = config.build(in_channels=1).eval()
    with pytest.raises(ValueError, match="instance norm sees one site of each volume"):
        encoder(torch.rand(1, 1, 2, 2, 2))
    assert encoder(torch.rand(1, 1, 4, 2, 2))
