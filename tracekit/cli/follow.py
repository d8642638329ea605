"""Follow a run that is being recorded, by opening its trace again and again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click

from tracekit.errors import TrainingError


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Parameters
    ----------
    status : str
        `"running"` until the writer closes the trace; a killed writer leaves it so.
    committed, planned : int
        Snapshots; `planned` is None where nobody knows how many there will be.
    trained_task : str
        Task of the last visit; empty where none was trained yet.
    eval_loss, test_loss, train_loss : float
        Last mean loss over tasks and held-out tasks, and of the last update; NaN where there is none.
    units : str
        Of the losses.
    wall_time_seconds : float
        From the start of the run to its last commit.
    """

    status: str
    committed: int
    planned: int | None
    trained_task: str
    eval_loss: float
    test_loss: float
    train_loss: float
    units: str
    wall_time_seconds: float


def read_progress(run: str) -> Progress:
    """Open a trace, and look how far it is now."""
    import xarray as xr

    from tracekit.reading.opening import open_trace

    trace = open_trace(run)
    losses = trace["losses"].to_dataset() if "losses" in trace.children else xr.Dataset()
    return Progress(
        status=str(trace.attrs["status"]),
        committed=int(trace.attrs["snapshots_committed"]),
        planned=trace.attrs.get("snapshots_planned"),
        trained_task=_last_task(losses),
        eval_loss=_last(losses, "eval_loss"),
        test_loss=_last(losses, "test_loss"),
        train_loss=_last(losses, "train_loss"),
        units=str(losses["eval_loss"].attrs.get("units", "")) if "eval_loss" in losses else "",
        wall_time_seconds=_last(losses, "wall_time_seconds"),
    )


def changes(run: str, interval_seconds: float) -> Iterator[Progress]:
    """Give the progress of a run now and at every change, until its writer has closed it.

    Raises
    ------
    TrainingError
        If the writer has ended without closing it: killed, or with its machine.
    """
    from tracekit.store import open_store
    from tracekit.writing.claims import last_writer

    seen, store = None, open_store(run)
    while True:
        state, writer = last_writer(store)  # before the trace is looked at: it may be closed in between
        progress = read_progress(run)
        if progress != seen:
            yield progress
        if progress.status != "running":
            return
        if progress == seen and state == "dead":
            raise TrainingError(
                f"{run}: nobody writes it any more, {writer} has ended without closing it. All that was "
                f"committed is safe; a run of `tracekit train` goes on by `tracekit train --resume {run}`"
            )
        seen = progress
        time.sleep(interval_seconds)


def wait_for(run: str, interval_seconds: float) -> None:
    """Wait until there is a trace: a run loads its model and documents before it makes one."""
    from tracekit.format.layout import METADATA
    from tracekit.store import open_store

    store = open_store(run)
    if store.exists():
        return
    click.echo(f"{run}: there is nothing here yet; waiting for a run to begin. Ctrl-C ends this.", err=True)
    while store.get(METADATA) is None:
        time.sleep(interval_seconds)


def follow(run: str, interval_seconds: float, *, as_document: bool) -> None:
    """Show the progress of a run until it ends, or until Ctrl-C.

    A run that is not there yet is waited for. On a terminal the table is drawn anew; elsewhere there is a
    line, or a JSON object, for each change.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console()
    try:
        wait_for(run, interval_seconds)
        if as_document or not console.is_terminal:
            for progress in changes(run, interval_seconds):
                click.echo(_document(progress) if as_document else _line(progress))
            return
        with Live(console=console, auto_refresh=False) as live:
            for progress in changes(run, interval_seconds):
                live.update(_table(run, progress), refresh=True)
    except KeyboardInterrupt:
        click.echo("\nNo longer following; this does nothing to the run.", err=True)


def _last(losses: Any, name: str) -> float:
    """Give the mean of the last row of a variable, as far as it is a number."""
    if name not in losses.variables or not losses[name].size:
        return math.nan
    return float(losses[name].isel({losses[name].dims[0]: -1}).mean())


def _last_task(losses: Any) -> str:
    if "task" not in losses.coords or not losses.sizes.get("visit", 0):
        return ""
    task = int(losses["trained_task"].values[-1])
    return str(losses["task"].values[task]) if task >= 0 else ""


def _document(progress: Progress) -> str:
    from tracekit.cli.output import as_json

    return as_json(asdict(progress))


def _line(progress: Progress) -> str:
    from tracekit.cli.output import text

    of = "" if progress.planned is None else f" of {progress.planned}"
    return (
        f"{progress.status}: {progress.committed}{of} snapshots, "
        f"eval loss {text(progress.eval_loss)}, train loss {text(progress.train_loss)} {progress.units}"
    )


def _table(run: str, progress: Progress) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from tracekit.cli.output import text

    table = Table(title=Text(str(run)), title_justify="left", show_header=False)
    if progress.planned is not None:
        table.add_row("progress", ProgressBar(progress.planned, progress.committed, width=40))
    for name, value in asdict(progress).items():
        table.add_row(name.replace("_", " "), Text(text(value)))
    return table
