"""The contract of a loss as tests, for ours and for anyone's.

class TestMine(LossConformance):
    config = MyLoss(weight=0.5)
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from ssl3d.geometry import Stage, Triple, quotient, times
from ssl3d.interfaces import Loss, PretrainOutput, SparseBackend
from ssl3d.plugin.config import LossConfig, SparseBackendConfig
from ssl3d.plugin.registry import installed
from ssl3d.sparse import CellGrid, FeatureMap, HiddenLevels, SparseVolume
from ssl3d.sparse.hidden import cells_to_voxels

CELL: Triple = (4, 4, 8)
GRID: Triple = (2, 3, 2)
BATCH = 2


class LossConformance:
    """Subclass it in a test module and set `config`.

    Attributes:
        config: the loss under test.
        stages: feature maps that it is given, fine to coarse.
    """

    config: ClassVar[LossConfig]
    stages: ClassVar[tuple[Stage, ...]] = (Stage((2, 2, 2), 6), Stage((4, 4, 4), 10))

    @pytest.fixture(autouse=True)
    def _own_random_state(self) -> object:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield

    def build(self) -> Loss:
        """The loss in float64; its parameters do not depend on what was drawn before."""
        torch.manual_seed(0)
        return self.config.build(stages=self.stages).double()

    def output(self, *, hidden: Tensor | None = None, dense: bool = False) -> PretrainOutput:
        """A random step. `hidden` is (B, Gd, Gh, Gw) bool, about half of the cells by default.

        The last cell of the first sample is padding. Prediction and features require gradients.
        """
        random = torch.Generator().manual_seed(1)
        padding = torch.zeros(BATCH, *GRID, dtype=torch.bool)
        padding[0, -1, -1, -1] = True
        if hidden is None:
            hidden = torch.rand(BATCH, *GRID, generator=random) < 0.5
            hidden[:, 0, 0, 0], hidden[:, 0, 0, 1] = True, False
        hidden = hidden & ~padding
        levels = HiddenLevels((hidden,))
        valid = ~cells_to_voxels(padding, cell=CELL)
        shape = (BATCH, 1, *times(GRID, CELL))
        volume = torch.rand(shape, generator=random, dtype=torch.float64) * valid[:, None]
        cells = CellGrid(~hidden & ~padding, cell=CELL)
        return PretrainOutput(
            volume=volume,
            valid=valid,
            prediction=torch.randn(shape, generator=random).double().requires_grad_(),
            hidden=levels.voxels(CELL),
            stages=tuple(
                _features(s, cells=cells, random=random, dense=dense) for s in self.stages
            ),
            levels=levels,
            cells=cells,
            target="patch_normalised",
        )

    def compute(self, output: PretrainOutput, *, seed: int = 0) -> dict[str, Tensor]:
        """What the loss gives for `output`."""
        values: dict[str, Tensor] = self.build()(
            output, generator=torch.Generator().manual_seed(seed)
        )
        return values

    @pytest.mark.parametrize("dense", [False, True])
    def test_it_gives_scalars_and_a_loss_that_teaches(self, dense: bool) -> None:
        """`dense` feature maps are those of `encoder_input="zeroed"`."""
        output = self.output(dense=dense)
        values = self.compute(output)
        assert "loss" in values, "forward must return a scalar named loss"
        for name, value in values.items():
            assert value.shape == (), f"{name} is no scalar"
            assert torch.isfinite(value), f"{name} is not finite"
        assert output.prediction is not None
        inputs = [output.prediction, *(_values(stage) for stage in output.stages)]
        gradients = torch.autograd.grad(values["loss"], inputs, allow_unused=True)
        found = [gradient for gradient in gradients if gradient is not None]
        assert any(bool(gradient.abs().sum() > 0) for gradient in found), "nothing to learn from"
        assert all(bool(torch.isfinite(gradient).all()) for gradient in found)

    def test_every_parameter_has_a_gradient(self) -> None:
        """Distributed training waits for each of them."""
        loss = self.build()
        loss(self.output(), generator=torch.Generator().manual_seed(0))["loss"].backward()
        without = [name for name, p in loss.named_parameters() if p.grad is None]
        assert not without, f"without a gradient: {', '.join(without)}"

    def test_padding_does_not_count(self) -> None:
        output = self.output()
        assert output.prediction is not None
        other = torch.where(output.valid[:, None], output.prediction, 1e6)
        values, changed = self.compute(output), self.compute(replace(output, prediction=other))
        assert torch.equal(values["loss"], changed["loss"])

    @pytest.mark.parametrize("everything", [False, True])
    def test_nothing_hidden_or_everything_is_no_nan(self, everything: bool) -> None:
        hidden = torch.full((BATCH, *GRID), everything)
        assert torch.isfinite(self.compute(self.output(hidden=hidden))["loss"])

    def test_randomness_comes_from_the_generator_alone(self) -> None:
        output = self.output()
        loss = self.build()
        state = torch.get_rng_state()
        first, second = (
            loss(output, generator=torch.Generator().manual_seed(5))["loss"] for _ in range(2)
        )
        assert torch.equal(first, second)
        assert torch.equal(state, torch.get_rng_state()), "global random state was used"

    def test_it_asks_for_two_stages_where_it_needs_them(self) -> None:
        if "two_stages" in self.config.needs():
            with pytest.raises(ValueError, match="stage"):
                self.config.build(stages=self.stages[:1])
            return
        output = self.output()
        loss = self.config.build(stages=self.stages[:1]).double()
        values = loss(
            replace(output, stages=output.stages[:1]), generator=torch.Generator().manual_seed(0)
        )
        assert torch.isfinite(values["loss"])

    def test_the_config_survives_json(self) -> None:
        again = type(self.config).model_validate_json(self.config.model_dump_json())
        assert again == self.config
        assert again.title == (self.config.label or self.config.name)


def _features(stage: Stage, *, cells: CellGrid, random: torch.Generator, dense: bool) -> FeatureMap:
    """Random features of a stage."""
    size = quotient(times(GRID, CELL), stage.stride)
    volume = torch.randn(BATCH, stage.channels, *size, generator=random).double()
    if dense:
        return volume.requires_grad_()
    features = cells.gather(volume, stride=stage.stride).requires_grad_()
    return SparseVolume(features, cells, stage.stride, _backend())


def _values(x: FeatureMap) -> Tensor:
    return x.features if isinstance(x, SparseVolume) else x


def _backend() -> SparseBackend:
    config = installed().config("sparse_backend", name="dense")()  # type: ignore[call-arg]
    assert isinstance(config, SparseBackendConfig)
    return config.build()
