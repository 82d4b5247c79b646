"""The command line: a thin layer over what a notebook uses. Importing it loads no torch."""

from ssl3d.cli.main import main

__all__ = ["main"]
