"""Options of the task `regression`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ssl3d_plugins.tasks.pooled_config import Names, PooledConfig, refuse_twice


class Regression(PooledConfig):
    """Numbers of a case, a column each, such as an age; a missing one teaches nothing.

    Targets are standardised by the training cases; predictions come back in their units.
    """

    builds = "ssl3d_plugins.tasks.regression_task:RegressionTask"
    primary: ClassVar[str] = "mae"
    larger_is_better: ClassVar[bool] = False
    name: Literal["regression"] = "regression"
    values: Names = Field(min_length=1, description="columns that hold the numbers of a case")
    loss: Literal["huber", "mse", "l1"] = Field(
        default="huber", description="error of standardised values; huber: quadratic below 1"
    )

    @model_validator(mode="after")
    def _values_differ(self) -> Regression:
        refuse_twice(self.values, option="values")
        return self

    def outputs(self) -> tuple[str, ...]:
        """The columns."""
        return self.values

    def columns(self) -> tuple[str, ...]:
        """The columns."""
        return self.values
