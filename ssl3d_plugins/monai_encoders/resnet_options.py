"""Options of MONAI's ResNet encoder (He et al. 2015; 3D after Hara et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field

from ssl3d.geometry import Operation, PerAxis, Stage, Triple, times
from ssl3d_plugins.monai_encoders.encoder_options import ONE, TWO, EncoderOptions, centred

if TYPE_CHECKING:
    pass

Width = Annotated[int, Field(ge=1, le=65536)]


class Depth(NamedTuple):
    """Kind of block, its blocks in each of the four layers, and how much it widens."""

    block: Literal["basic", "bottleneck"]
    layers: tuple[int, int, int, int]

    @property
    def expansion(self) -> int:
        """Output channels of a block for each of its planes."""
        return 1 if self.block == "basic" else 4


DEPTHS = {
    10: Depth("basic", (1, 1, 1, 1)),
    18: Depth("basic", (2, 2, 2, 2)),
    34: Depth("basic", (3, 4, 6, 3)),
    50: Depth("bottleneck", (3, 4, 6, 3)),
    101: Depth("bottleneck", (3, 4, 23, 3)),
    152: Depth("bottleneck", (3, 8, 36, 3)),
    200: Depth("bottleneck", (3, 24, 36, 3)),
}


def _odd(kernel: Triple) -> Triple:
    if any(not 1 <= k <= 31 or k % 2 == 0 for k in kernel):
        raise ValueError(f"{kernel}: use odd numbers up to 31, such as 7 or (3, 7, 7)")
    return kernel


def _one_or_two(stride: Triple) -> Triple:
    if any(s not in (1, 2) for s in stride):
        raise ValueError(f"{stride}: use 1 or 2 on each axis")
    return stride


class ResNet(EncoderOptions):
    """Encoder half of `monai.networks.nets.ResNet`, with batch norm and projected skips.

    The skip without parameters (`shortcut_type="A"`, which MedicalNet's ResNet-18 and -34 use)
    is not offered: MONAI's cuts the gradient.
    """

    builds = "ssl3d_plugins.monai_encoders.networks:ResNetEncoder"
    whole = "monai.networks.nets.resnet:ResNet"

    unused = ("fc.*",)

    name: Literal["resnet"] = "resnet"
    depth: Literal[10, 18, 34, 50, 101, 152, 200] = Field(
        default=18, description="layers with parameters, as the published networks count them"
    )
    block_inplanes: tuple[Width, Width, Width, Width] = Field(
        default=(64, 128, 256, 512),
        description="channels of the four layers (four times as many "
        "where the blocks are bottlenecks, from depth 50)",
        json_schema_extra={"unit": "channels"},
    )
    conv1_t_size: Annotated[PerAxis, AfterValidator(_odd)] = Field(
        default=(7, 7, 7), description="odd kernel of the first convolution, z y x"
    )
    conv1_t_stride: Annotated[PerAxis, AfterValidator(_one_or_two)] = Field(
        default=(1, 1, 1), description="stride of the first convolution, 1 or 2 per axis"
    )
    no_max_pool: bool = Field(
        default=False, description="True leaves out the 3³ max pool of stride 2 after the stem"
    )
    bias_downsample: bool = Field(default=True, description="bias in the projections of skips")

    def arguments(self, *, in_channels: int) -> dict[str, Any]:
        """Those of `ResNet`."""
        depth = DEPTHS[self.depth]
        return {
            "block": depth.block,
            "layers": list(depth.layers),
            "block_inplanes": list(self.block_inplanes),
            "n_input_channels": in_channels,
            "conv1_t_size": list(self.conv1_t_size),
            "conv1_t_stride": list(self.conv1_t_stride),
            "no_max_pool": self.no_max_pool,
            "bias_downsample": self.bias_downsample,
        }

    def stages(self) -> tuple[Stage, ...]:
        """The stem where it has a stride of its own, then the four layers."""
        stride, planes = self.conv1_t_stride, self.block_inplanes
        stages = [] if self.no_max_pool else [Stage(stride, planes[0])]
        for i, width in enumerate(planes):
            if i or not self.no_max_pool:
                stride = times(stride, TWO)
            stages.append(Stage(stride, width * DEPTHS[self.depth].expansion))
        return tuple(stages)

    def batch_norm_stages(self) -> tuple[Stage, ...]:
        """All."""
        return self.stages()

    def operations(self) -> tuple[Operation, ...]:
        """Stem, max pool, and the convolutions of blocks and projections."""
        depth, first = DEPTHS[self.depth], self.block_inplanes[0]
        found = [centred(self.conv1_t_size, stride=self.conv1_t_stride, channels=(1, first))]
        if not self.no_max_pool:
            found.append(centred(3, stride=TWO, channels=(first, first), kind="max_pool3d"))
        before = first
        for layer, (width, blocks) in enumerate(
            zip(self.block_inplanes, depth.layers, strict=True)
        ):
            out = width * depth.expansion
            for i in range(blocks):
                stride = TWO if layer and i == 0 else ONE
                if depth.block == "basic":
                    found.append(centred(3, stride=stride, channels=(before, width)))
                    found.append(centred(3, channels=(width, width)))
                else:
                    found.append(centred(1, channels=(before, width)))
                    found.append(centred(3, stride=stride, channels=(width, width)))
                    found.append(centred(1, channels=(width, out)))
                if stride != ONE or before != out:
                    found.append(centred(1, stride=stride, channels=(before, out)))
                before = out
        return tuple(dict.fromkeys(found))
