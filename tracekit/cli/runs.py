"""Train and record a run, for the commands that do it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracekit import plugins
from tracekit.errors import PluginError, TraceError, TraceNotFoundError

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
    """Make the recorders that a configuration names, checkpoints among them if it asks for some."""
    from tracekit.training import Checkpoints

    recorders = [
        plugins.make("tracekit.recorders", item.kind, item.options) for item in configuration.recorders
    ]
    if configuration.training.checkpoint_every is not None:
        recorders.append(Checkpoints(configuration.training.checkpoint_every))
    return recorders


def read_recorded_configuration(path: str) -> Configuration:
    """Read the configuration of a recorded run."""
    from tracekit.reading.opening import read_facts
    from tracekit.store import open_store

    try:
        from tracekit.training import parse_configuration
    except ImportError as error:
        raise PluginError(f"{NEEDS_TRAIN} ({error})") from error
    store = open_store(path)
    if not store.exists():
        raise TraceNotFoundError(f"{path}: there is nothing here to resume; check the path")
    attributes = read_facts(store)
    if not isinstance(attributes.get("configuration"), dict):
        raise TraceError(f"{path}: holds no configuration, so it cannot be resumed from here")
    return parse_configuration(attributes["configuration"], origin=path)


def record_run(
    configuration: Configuration,
    path: str | Path,
    *,
    label: str,
    resume: bool = False,
    ignore_space: bool = False,
    **settings: Any,
) -> None:
    """Train as configured, and record into a new trace if it fits, or go on with one that was cut off.

    `settings` are those of `Recording`.
    """
    from tracekit.cli.progress import RunProgress, waiting
    from tracekit.writing.estimate import planned_kinds, require_space
    from tracekit.writing.recording import Recording

    with waiting(f"preparing documents and model for {label}"):
        from tracekit.training import prepare, restore, train

        run = prepare(configuration)
        if resume:
            run = restore(run, path)
        else:
            planned = planned_kinds(run, make_recorders(configuration))  # before anything is replaced
            require_space(() if ignore_space else planned, path)
    settings["queue_bytes"] = configuration.recording.queue_bytes
    recording = Recording(path, make_recorders(configuration), resume=resume, **settings)
    try:
        train(run, [recording, RunProgress(label)])
    except KeyboardInterrupt:
        click.echo(
            f"\nInterrupted. {path} keeps every visit that was completed. Go on with: "
            f"tracekit train --resume {path}",
            err=True,
        )
        raise click.Abort from None
