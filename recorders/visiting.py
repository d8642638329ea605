"""When a visit is over in the loop of a framework: after so many updates, an epoch, or a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from recorders.loop_trace import LoopTrace
from tracekit.errors import ConfigurationError
from tracekit.schedule import NOTHING

Visits: TypeAlias = 'int | Literal["epoch", "task"]'
TaskOf: TypeAlias = "Callable[[Any], int | str]"


class Visiting:
    """Ends visits, and says what each trained.

    Parameters
    ----------
    visit : int, "epoch" or "task"
        A visit is so many updates, an epoch, or a stretch of batches of one task. What is left at the end of
        the training is one more.
    task_of : callable, optional
        Gives the task of a batch, by number or name. A visit with batches of several tasks has none.

    Raises
    ------
    ConfigurationError
        If visits are to follow the tasks, and nothing says what these are.
    """

    def __init__(self, visit: Visits, task_of: TaskOf | None) -> None:
        if visit not in ("epoch", "task") and not (type(visit) is int and visit > 0):
            raise ConfigurationError(
                f"visit: expected a number of updates, 'epoch' or 'task', found {visit!r}"
            )
        if visit == "task" and task_of is None:
            raise ConfigurationError("visit: 'task' needs to know the task of a batch; give task_of=…")
        self._visit = visit
        self._task_of = task_of
        self._tasks: list[int | str] = []
        self._epoch: int | None = None
        self._trained_epoch: int | None = None

    def epoch_begins(self, number: int) -> None:
        """Take note of the epoch."""
        self._epoch = number

    def batch_begins(self, trace: LoopTrace, batch: Any) -> None:
        """Look at a batch that is about to be trained; if it is of another task, the visit before it ends."""
        if self._task_of is not None:
            task = self._task_of(batch)
            if self._visit == "task" and self._tasks and task != self._tasks[-1]:
                self._end(trace)
            if not self._tasks or task != self._tasks[-1]:
                self._tasks.append(task)
        self._trained_epoch = self._epoch
        trace.begin(task=self._task(), epoch=self._epoch)

    def batch_ends(self, trace: LoopTrace) -> None:
        """End the visit if it had all its updates."""
        if isinstance(self._visit, int) and trace.updates >= self._visit:
            self._end(trace)

    def epoch_ends(self, trace: LoopTrace) -> None:
        """End the visit if that is the epoch."""
        if self._visit == "epoch":
            self._end(trace)

    def training_ends(self, trace: LoopTrace) -> None:
        """End what is left."""
        if trace.updates:
            self._end(trace)

    def _task(self) -> int | str | None:
        if not self._tasks:
            return None
        return self._tasks[0] if len(set(self._tasks)) == 1 else NOTHING

    def _end(self, trace: LoopTrace) -> None:
        trace.visit(task=self._task(), epoch=self._trained_epoch)
        self._tasks.clear()
