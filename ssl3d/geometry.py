"""Per-axis sizes and what a network does to them. No torch here: specs are validated with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator

Triple = tuple[int, int, int]
"""One number per axis, in the order z, y, x."""


def as_triple(value: Any) -> Any:
    """Repeat a single number for the three axes; leave anything else to validation."""
    return (value, value, value) if isinstance(value, int | float) else value


PerAxis = Annotated[Triple, BeforeValidator(as_triple, json_schema_input_type=int | Triple)]
"""A pydantic field type: one number for all axes, or three in the order z, y, x."""


def product(values: Triple) -> int:
    """Number of sites in a box of this size."""
    return values[0] * values[1] * values[2]


def divides(divisor: Triple, size: Triple) -> bool:
    """True where every axis of `size` is a whole, non-zero multiple of `divisor`'s."""
    return all(s > 0 and s % d == 0 for d, s in zip(divisor, size, strict=True))


def quotient(size: Triple, divisor: Triple) -> Triple:
    """Per-axis `size / divisor`; the caller has made sure that it is whole."""
    assert divides(divisor, size), f"{divisor} does not divide {size}"
    return (size[0] // divisor[0], size[1] // divisor[1], size[2] // divisor[2])


def times(a: Triple, b: Triple) -> Triple:
    """Per-axis product."""
    return (a[0] * b[0], a[1] * b[1], a[2] * b[2])


def finer_strides(stride: Triple) -> tuple[Triple, ...]:
    """Strides below this one down to 1: each halves what is even, and what is odd goes to 1."""
    strides = [stride]
    while max(strides[-1]) > 1:
        z, y, x = (max(1, s // 2) if s % 2 == 0 else 1 for s in strides[-1])
        strides.append((z, y, x))
    return tuple(strides[1:])


def show(size: Triple) -> str:
    """A size as people write it: `96 × 96 × 96`."""
    return " × ".join(str(s) for s in size)


@dataclass(frozen=True)
class Stage:
    """One resolution of a backbone: voxels per site on each axis, and feature channels.

    Attributes:
        stride: voxels per site.
        channels: of the feature map.
        details: of the wavelet details that the backbone can hand on beside the map: for each
            level, fine to coarse, voxels per coefficient, and the channels of all its sub-bands
            together. Empty where it hands on none.
    """

    stride: Triple
    channels: int
    details: tuple[Stage, ...] = ()


def magnified(stages: Iterable[Stage], site: Triple) -> tuple[Stage, ...]:
    """Stages of a network on a map of `site` voxels per site, with their strides in voxels."""
    return tuple(
        Stage(times(site, stage.stride), stage.channels, magnified(stage.details, site))
        for stage in stages
    )


class Footprint(NamedTuple):
    """Which sites an operation meets, whatever the channels."""

    kernel: Triple
    stride: Triple
    padding: Triple


OperationKind = Literal["conv3d", "conv_transpose3d", "max_pool3d", "avg_pool3d", "interpolate"]


@dataclass(frozen=True)
class Operation:
    """A spatial operation that a backbone asks of a sparse backend.

    `stride` is the factor between input and output sites (an up-sampling factor for
    `conv_transpose3d` and `interpolate`). `channels` is (in, out).
    """

    kind: OperationKind
    kernel: Triple = (1, 1, 1)
    stride: Triple = (1, 1, 1)
    padding: Triple = (0, 0, 0)
    groups: int = 1
    channels: tuple[int, int] = (1, 1)

    @classmethod
    def convolution(
        cls,
        channels: tuple[int, int],
        *,
        kernel: Triple,
        stride: Triple = (1, 1, 1),
        groups: int = 1,
    ) -> Operation:
        """A convolution with this project's padding."""
        return cls("conv3d", kernel, stride, same_padding(kernel, stride=stride), groups, channels)

    @property
    def footprint(self) -> Footprint:
        """What tables of sites depend on; a transposed convolution has that of its way back."""
        return Footprint(self.kernel, self.stride, self.padding)

    @property
    def inside_cells(self) -> bool:
        """True when no output site looks past its own block of input sites (k = s, padding 0)."""
        return self.kind == "interpolate" or (
            self.kernel == self.stride and self.padding == (0, 0, 0)
        )

    @property
    def depthwise(self) -> bool:
        """True for one filter per channel."""
        return self.groups > 1 and self.groups == self.channels[0] == self.channels[1]

    def result_stride(self, stride: Triple) -> Triple:
        """Voxels per site of the result, from those of the input."""
        refines = self.kind in ("conv_transpose3d", "interpolate")
        return quotient(stride, self.stride) if refines else times(stride, self.stride)

    def problems(self) -> Iterator[str]:
        """Why it has no meaning on a volume with hidden cells; nothing where it has one.

        The meaning is: zero-fill the hidden sites, run the dense operation, keep the visible cells.
        That leaves kernels and strides open; these are the ones that this project fixes.
        """
        if self.kind == "interpolate":
            return
        for k, s, p in zip(self.kernel, self.stride, self.padding, strict=True):
            if k == s and p == 0:
                continue
            if self.kind == "conv_transpose3d" and (k, s, p) == (4, 2, 1):
                continue
            if k % 2 == 1 and p == (k - 1) // 2 and s in (1, 2):
                continue
            yield (
                f"{self.describe()}: kernel {k}, stride {s}, padding {p} on one axis. Allowed per "
                "axis: odd kernel with padding (kernel - 1) / 2 and stride 1 or 2; kernel = stride "
                "with padding 0; transposed also kernel 4, stride 2, padding 1"
            )
            return

    def describe(self) -> str:
        """Words for an error message."""
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        return (
            f"{self.kind} with kernel {self.kernel}, stride {self.stride}, "
            f"padding {self.padding}{groups}"
        )


def same_padding(kernel: Triple, *, stride: Triple) -> Triple:
    """The padding that this project defines: 0 where kernel = stride, else (kernel - 1) / 2."""
    z, y, x = (0 if k == s else (k - 1) // 2 for k, s in zip(kernel, stride, strict=True))
    return (z, y, x)


def operations_in(plan: Any) -> tuple[Operation, ...]:
    """Every operation in a plan of frozen dataclasses and tuples, in its order, each once.

    A backbone whose modules are made from the operations of such a plan asks for these, and for
    no others.
    """
    return tuple(dict.fromkeys(_operations_in(plan)))


def _operations_in(plan: Any) -> Iterator[Operation]:
    if isinstance(plan, Operation):
        yield plan
    elif dataclasses.is_dataclass(plan):
        for field in dataclasses.fields(plan):
            yield from _operations_in(getattr(plan, field.name))
    elif isinstance(plan, tuple):
        for part in plan:
            yield from _operations_in(part)
