"""`ssl3d schema`."""

from __future__ import annotations

import json

import typer

from ssl3d.plugin.stdout import stdout_to_stderr


def schema() -> None:
    """Print the JSON schema of a spec, with the options of every installed component."""
    from ssl3d.tasks.pretrain.spec import ExperimentSpec

    with stdout_to_stderr():  # strangers' code describes its options
        schema = ExperimentSpec.model_json_schema()
    typer.echo(json.dumps(schema, indent=2))
