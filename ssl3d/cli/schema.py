"""`ssl3d schema`."""

from __future__ import annotations

import json

import typer

from ssl3d.cli.specs import Kind, Of, spec_of
from ssl3d.plugin.stdout import stdout_to_stderr


def schema(of: Of = Kind.PRETRAIN) -> None:
    """Print the JSON schema of a spec, with the options of every installed component."""
    spec = spec_of(of)
    with stdout_to_stderr():  # strangers' code describes its options
        schema = spec.model_json_schema()
    typer.echo(json.dumps(schema, indent=2))
