"""Train and record a run, for the commands that do it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracekit import plugins
from tracekit.errors import PluginError

if TYPE_CHECKING:
    from tracekit.protocols import Recorder
    from tracekit.training import Configuration

NEEDS_TRAIN = "training needs torch and transformers: install the `train` extra of tracekit-ml"


def read_configuration(path: Path, overrides: tuple[str, ...]) -> Configuration:
    """Read a configuration file; training packages are imported only now."""
    from tracekit.cli.progress import waiting

    try:
        with waiting("loading torch and transformers"):
            from tracekit.training import load_configuration
    except ImportError as error:
        raise PluginError(f"{NEEDS_TRAIN} ({error})") from error
    return load_configuration(path, overrides)


def make_recorders(configuration: Configuration) -> list[Recorder]:
    """Make the recorders that a configuration names."""
    return [plugins.make("tracekit.recorders", item.kind, item.options) for item in configuration.recorders]


def record_run(
    configuration: Configuration,
    path: str | Path,
    *,
    label: str,
    overwrite: bool = False,
    ignore_space: bool = False,
) -> None:
    """Train as configured, and record into a new trace, if it fits on the disk."""
    from tracekit.cli.progress import RunProgress, waiting
    from tracekit.estimate import planned_kinds, require_space
    from tracekit.recording import Recording

    with waiting(f"preparing documents and model for {label}"):
        from tracekit.training import prepare, train

        recording = Recording(path, make_recorders(configuration), overwrite=overwrite)
        run = prepare(configuration)
        if not ignore_space:
            require_space(planned_kinds(run, make_recorders(configuration)), path)
    try:
        train(run, [recording, RunProgress(label)])
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. {path} keeps every visit that was completed.", err=True)
        raise click.Abort from None
