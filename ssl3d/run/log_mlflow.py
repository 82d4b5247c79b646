"""MLflow."""

from __future__ import annotations

import os
from pathlib import Path

from lightning.pytorch.loggers import MLFlowLogger

from ssl3d.folder import RunFolder
from ssl3d.run.run_logger import Flat, RunLogger

FOLDER = "mlflow"
"""In a run's."""


class MLflow(RunLogger):
    """A run of the experiment `ssl3d`, on the server of MLFLOW_TRACKING_URI or in the folder.

    In the folder it is a database: MLflow takes plain files no more.

    Args:
        folder: of the run.
        identity: of the run that goes on; None: a new one.

    Raises:
        ModuleNotFoundError: mlflow is not installed.
    """

    logger: MLFlowLogger

    def __init__(self, folder: RunFolder, *, identity: str | None = None) -> None:
        server, own = os.environ.get("MLFLOW_TRACKING_URI"), (folder.root / FOLDER).absolute()
        if not server:
            own.mkdir(parents=True, exist_ok=True)
        super().__init__(
            MLFlowLogger(
                experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", "ssl3d"),
                run_name=folder.root.name,
                tracking_uri=server or f"sqlite:///{own / 'mlflow.db'}",
                artifact_location=None if server else (own / "artifacts").as_uri(),
                run_id=identity,
            )
        )

    def begin(self) -> None:
        """See `RunLogger`."""
        super().begin()
        self.identity = self.logger.run_id

    def picture(self, name: str, path: Path, step: int) -> None:  # noqa: ARG002
        """See `RunLogger`. Pictures are files of the run, under `pictures/`."""
        self.logger.experiment.log_artifact(self.identity, str(path), "pictures")

    def parameters(self, values: Flat) -> None:
        """See `RunLogger`. Those that the run has already cannot change; new ones are added."""
        there = self.logger.experiment.get_run(self.identity).data.params
        self.logger.log_hyperparams({k: v for k, v in values.items() if k not in there})
