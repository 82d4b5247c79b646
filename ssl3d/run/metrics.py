"""What training logs, averaged, in rows: of the metrics file, and of Lightning's loggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from torch import Tensor

from ssl3d.kinds.output import label_of
from ssl3d.run.callback import RunCallback
from ssl3d.run.metrics_file import MetricsFile, Row
from ssl3d.run.module import RunModule
from ssl3d.run.ranks import of_all_ranks, rank


class Metrics(RunCallback[RunModule]):
    """Averages what training logs, takes what others `put`, and writes a row where one is due.

    Put it after the callbacks that measure, before the one that saves. A micro-batch counts by the
    share of its crops in which a loss found something to measure.

    Args:
        file: of this rank; None on ranks that write nothing.
    """

    def __init__(self, file: MetricsFile | None) -> None:
        self._file = file
        self._sums: dict[str, Tensor] = {}
        self._shares: dict[str, Tensor] = {}
        self._empty = torch.zeros((), dtype=torch.long)
        self._samples_before = 0
        self._seconds_before = 0.0
        self._row: Row = {}
        rows = [] if file is None else file.rows
        self.latest: Row = {name: value for row in rows for name, value in row.items()}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Write what was measured before the first step."""
        self._write(trainer, pl_module)

    def put(self, values: dict[str, float]) -> None:
        """Add columns to this step's row."""
        self._row |= values

    def after_micro_batch(self, module: RunModule, outputs: Mapping[str, Tensor]) -> None:
        """Count it in."""
        exact = _exact(module.device)
        shares = {k: found.float().mean().to(exact) for k, found in module.measurable.items()}
        total = torch.stack(list(shares.values())).amax()
        for name, value in outputs.items():
            share = shares.get(label_of(name, labels=shares) or "", total)
            _add(self._sums, name, value.to(exact) * share)
            _add(self._shares, name, share)
        self._empty = self._empty + module.empty.sum().cpu()

    def after_step(self, trainer: lightning.Trainer, module: RunModule) -> None:
        """Write a row where one is due."""
        options = module.spec.trainer
        if module.step % options.log_every == 0 or module.step >= options.steps:
            self.put(self._means(trainer, module))
        self._write(trainer, module)

    def _write(self, trainer: lightning.Trainer, module: RunModule) -> None:
        if self._row:
            row = {"step": float(module.step), **self._row}
            self.latest |= row
            self._row = {}
            if self._file is not None:
                self._file.add(row)
            for logger in trainer.loggers:
                logger.log_metrics({k: v for k, v in row.items() if k != "step"}, step=module.step)

    def _means(self, trainer: lightning.Trainer, module: RunModule) -> Row:
        """Means over the micro-batches and ranks since the last row, of what was measured."""
        names = sorted(self._sums, key=lambda name: (name != "loss", name))
        sums, shares = (
            torch.stack([found[name].to(module.device) for name in names])
            for found in (self._sums, self._shares)
        )
        empty = self._empty.to(module.device)
        if trainer.world_size > 1:
            sums, shares, empty = (
                _summed(found, trainer=trainer) for found in (sums, shares, empty)
            )
        there = shares.tolist()
        values = [v for v, share in zip((sums / shares).tolist(), there, strict=True) if share]
        names = [name for name, share in zip(names, there, strict=True) if share]
        seconds = module.clock.seconds - self._seconds_before
        row = {f"train/{name}": value for name, value in zip(names, values, strict=True)}
        if empty:
            row["train/empty_crops"] = float(empty)
        row |= {
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "gradient_norm": module.gradient_norm,
            "volumes": float(module.samples),
            "volumes_per_second": (module.samples - self._samples_before) / max(seconds, 1e-9),
        }
        self._sums, self._shares, self._empty = {}, {}, torch.zeros_like(self._empty)
        self._samples_before, self._seconds_before = module.samples, module.clock.seconds
        return row

    def state_dict(self) -> dict[str, Any]:
        """What the next row needs of the steps since the last one, of all ranks: each calls it."""
        empty = {"": self._empty}
        return {
            "sums": _over_ranks(self._sums),
            "shares": _over_ranks(self._shares),
            "empty": _over_ranks(empty)[""],
            "samples_before": self._samples_before,
            "seconds_before": self._seconds_before,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up `state_dict`'s: the first rank for all, however many there are now."""
        self._sums = dict(state_dict["sums"])
        if "fed" in state_dict:  # of an older version, to which every micro-batch counted whole
            whole = torch.tensor(float(state_dict["fed"]))
            state_dict = {
                "shares": dict.fromkeys(self._sums, whole),
                "empty": torch.tensor(0),
                **state_dict,
            }
        self._shares = dict(state_dict["shares"])
        self._empty = state_dict["empty"].cpu()
        if rank() > 0:
            self._sums, self._shares = (
                {name: torch.zeros_like(value) for name, value in found.items()}
                for found in (self._sums, self._shares)
            )
            self._empty = torch.zeros_like(self._empty)
        self._samples_before = state_dict["samples_before"]
        self._seconds_before = state_dict["seconds_before"]


def _add(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    sums[name] = value + sums[name].to(value.device) if name in sums else value


def _over_ranks(own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sums over ranks, by name."""
    parts = of_all_ranks({name: value.cpu() for name, value in own.items()})
    return {name: torch.stack([part[name] for part in parts]).sum(0) for name in own}


def _summed(value: Tensor, *, trainer: lightning.Trainer) -> Tensor:
    reduced = trainer.strategy.reduce(value, reduce_op="sum")
    assert isinstance(reduced, Tensor)
    return reduced


def _exact(device: torch.device) -> torch.dtype:
    """What sums are kept in; Apple's GPUs have no double precision."""
    return torch.float32 if device.type == "mps" else torch.float64
