"""`tracekit train`: train a run, and record it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracekit.cli.parameters import TRACE

if TYPE_CHECKING:
    from tracekit.training import Configuration

PATH = click.Path(path_type=Path)


@click.command(short_help="Train a run as configured, and record it; or go on with one that was cut off.")
@click.argument("configuration", type=PATH, required=False)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--out", type=TRACE, help="Where the trace will lie, a path or URL.")
@click.option("--resume", type=TRACE, metavar="RUN", help="Go on with a run that was cut off.")
@click.option("--overwrite", is_flag=True, help="Replace the trace that is there.")
@click.option("--ignore-space", is_flag=True, help="Start even if the trace may not fit on the disk.")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "warn"]),
    default="stop",
    show_default=True,
    help="When the disk refuses a write: stop, or warn, mark the gap and go on.",
)
@click.option("--force-claim", is_flag=True, help="Take the trace over from a writer that may still live.")
def train(
    configuration: Path | None,
    overrides: tuple[str, ...],
    out: str | None,
    resume: str | None,
    **settings: Any,
) -> None:
    """Train a run as CONFIGURATION (YAML or TOML) says, and record it into a trace.

    Settings can be replaced on the command line by their dotted name; values are written as in YAML.

    With --resume, a run that was cut off goes on from its last checkpoint, into the same trace. Its
    configuration is the one in the trace; if CONFIGURATION is given too, the two must be the same, but for
    the section `recording`.

    \b
    Examples:
      tracekit train examples/cyclic_gpt_neox.yaml --out run.zarr
      tracekit train examples/toy.yaml training.epochs=3 seed=1 --out toy.zarr
      tracekit train examples/toy.yaml --out s3://bucket/runs/toy.zarr
      tracekit train --resume run.zarr
    """
    if resume is not None:
        _resume(resume, configuration, overrides, out, settings)
        return
    if configuration is None or out is None:
        raise click.UsageError("a new run needs CONFIGURATION and --out; to go on with one, --resume RUN")
    from tracekit.cli.runs import read_configuration, record_run

    record_run(read_configuration(configuration, overrides), out, label=out, **settings)
    _end(out)


def _resume(
    run: str,
    configuration: Path | None,
    overrides: tuple[str, ...],
    out: str | None,
    settings: dict[str, Any],
) -> None:
    from tracekit.cli.runs import read_configuration, read_recorded_configuration, record_run

    if settings.pop("overwrite") or out not in (None, run):
        raise click.UsageError("--resume RUN goes on with RUN; --out and --overwrite are for new runs")
    recorded = read_recorded_configuration(run)
    if configuration is not None:
        given = read_configuration(configuration, overrides)
        recorded = recorded.model_copy(update={"recording": given.recording})
        _require_same(run, recorded, given)
    if _is_complete(run):
        click.echo(f"{run}: is complete; there is nothing to resume.")
        return
    record_run(recorded, run, label=run, resume=True, **settings)
    _end(run)


def _require_same(run: str, recorded: Configuration, given: Configuration) -> None:
    from tracekit.differences import differences, listed
    from tracekit.errors import ConfigurationError

    found = list(differences(recorded.resolved(), given.resolved()))
    if found:
        raise ConfigurationError(
            f"{run}: cannot be resumed with another configuration than it began with:\n{listed(found)}\n"
            "Leave the configuration out to take the one in the trace"
        )


def _is_complete(run: str) -> bool:
    from tracekit.errors import NotATraceError
    from tracekit.reading.opening import open_trace

    try:
        facts = open_trace(run).attrs
    except NotATraceError:
        return False  # its making was cut off
    return bool(
        facts["status"] == "complete" and facts["snapshots_committed"] == facts.get("snapshots_planned")
    )


def _end(run: str) -> None:
    from tracekit.cli.show import describe

    describe(run)
    click.echo(f"\nNext: tracekit analyze recovery {run}   or: tracekit figures {run} --out figures")
