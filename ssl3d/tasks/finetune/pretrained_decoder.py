"""The decoder that an encoder's run has trained. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from ssl3d.folder import RunFolder
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.plugin.registry import installed
from ssl3d.plugin.spec_file import from_json
from ssl3d.run.run_error import RunError


def pretrained_decoder(encoder: str) -> DecoderConfig:
    """The options of the decoder that a run pre-trained: what `transfer: encoder+decoder` fills.

    Raises:
        RunError: the encoder is no run's folder.
        ValueError: the run's spec cannot be read, or its decoder is not installed.
    """
    folder = RunFolder(Path(encoder).expanduser())
    if not folder.spec_json.is_file():
        raise no_run(folder)
    options = from_json(folder.spec_json.read_text(encoding="utf-8")).get("decoder")
    if not isinstance(options, dict):
        raise RunError(
            f"transfer: the run {folder.root} names no decoder: transfer the encoder alone"
        )
    config = installed().config("decoder", name=options["name"]).model_validate(options)
    assert isinstance(config, DecoderConfig)
    return config


def no_run(folder: RunFolder) -> RunError:
    """What is wrong with an encoder that has no decoder to transfer."""
    return RunError(
        f"transfer: {folder.root} holds no checkpoint of a run, and only that has a decoder: give "
        "the run's folder, or transfer the encoder alone"
    )
