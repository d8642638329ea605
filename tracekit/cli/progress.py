"""Progress bars."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.text import Text

from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Update, Visit

Thing = TypeVar("Thing")

SECONDS_BETWEEN_LINES = 60


class RunProgress:
    """An observer that shows how far a run is: a bar on a terminal, and else a line now and then.

    Parameters
    ----------
    label : str
        What the run is called.
    clock : callable
        Gives the time in seconds; lines are a minute apart or more, but for the first and the last.
    """

    def __init__(self, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._clock = clock
        self._bar = bar(transient=not Console(stderr=True).is_terminal)
        self._next_line = -math.inf

    def start(self, run: Run) -> None:
        """Show an empty bar."""
        self._bar.start()
        self._n_visits = run.plan.n_visits
        self._task = self._bar.add_task(
            f"training {self._label}", total=self._n_visits + 1, completed=run.snapshots, note=""
        )

    def before_update(self, update: Update) -> None:
        """Show nothing."""

    def after_update(self, update: Update, train_loss: float) -> None:
        """Show nothing: a visit is the step that can be seen."""

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Advance by one snapshot."""
        note = f"mean loss {evaluation.eval_loss.mean():.3f}"
        self._bar.update(self._task, advance=1, note=note)
        if self._bar.disable and (self._clock() >= self._next_line or visit.number == self._n_visits):
            self._next_line = self._clock() + SECONDS_BETWEEN_LINES
            click.echo(f"training {self._label}: visit {visit.number} of {self._n_visits}, {note}", err=True)

    def finish(self, error: BaseException | None) -> None:
        """Leave the bar as it is."""
        self._bar.stop()


def bar(*, transient: bool = False) -> Progress:
    """Give a progress bar on the error stream, which leaves the output to the numbers.

    A transient one leaves nothing behind: nothing on a terminal when it ends, and nothing in a file at all.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=transient,
        disable=transient and not console.is_terminal,
    )


def tracked(what: str, things: Iterable[Thing], total: int) -> Iterator[Thing]:
    """Give things on, and show on a terminal how many there were; nothing is left of it at the end."""
    with bar(transient=True) as progress:
        task = progress.add_task(what, total=total, note="")
        for thing in things:
            yield thing
            progress.advance(task)


def waiting(what: str) -> Status:
    """Show that something is going on whose length nobody knows."""
    return Console(stderr=True).status(Text(f"{what} …"))
