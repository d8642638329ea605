"""Kinds of command-line parameters."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tracekit.plugins import suggestion

# a str, not a Path: pathlib drops a slash of s3://bucket/run.zarr
TRACE = click.Path(path_type=str)
"""Where a trace lies, a path or URL; shells complete it as a path."""


def require_known(ctx: click.Context, known: Sequence[str], name: str, *, what: str) -> None:
    """Refuse a name that is not known, and say what was perhaps meant."""
    if name not in known:
        raise click.UsageError(f"no {what} {name!r}{suggestion(name, list(known))}", ctx)
