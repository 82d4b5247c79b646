"""`ssl3d schema`."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON schema of a spec, with the options of every installed component."""
    from ssl3d.tasks.pretrain.spec import ExperimentSpec

    typer.echo(json.dumps(ExperimentSpec.model_json_schema(), indent=2))
