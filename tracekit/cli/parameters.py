"""Kinds of command-line parameters."""

from __future__ import annotations

import click

# a str, not a Path: pathlib drops a slash of s3://bucket/run.zarr
TRACE = click.Path(path_type=str)
"""Where a trace lies, a path or URL; shells complete it as a path."""
