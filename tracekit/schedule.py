"""Which task is visited when: the plan of a run, and the two places of time in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

NOTHING = -1
"""Stands for "no epoch", "no position" and "no task" at visit 0, before any training."""

Cadence = Callable[[int], bool]
"""Says of a visit number whether something is recorded at it."""


@dataclass(frozen=True)
class Visit:
    """One stay on one task, known by the number of visits completed at its end.

    Visit 0 is the state before any training; its epoch, position and task are `NOTHING`.
    """

    number: int
    epoch: int = NOTHING
    position: int = NOTHING
    task: int = NOTHING


@dataclass(frozen=True)
class Update:
    """One optimizer step: its number in the whole run, and its index within its visit.

    `clipped_from` is the norm that its gradient had before it was clipped: None where it was not clipped, NaN
    where that is not known.
    """

    number: int
    index: int
    visit: Visit
    clipped_from: float | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole schedule of a run.

    Parameters
    ----------
    order : array of int, dims (epoch, position)
        The task visited at each position of each epoch.
    n_tasks : int
        Number of tasks there are, T.
    updates_per_visit : int
        Optimizer steps of one visit, M.

    Examples
    --------
    >>> plan = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=5)
    >>> plan.n_visits, plan.n_updates
    (4, 20)
    >>> plan.visit(3)
    Visit(number=3, epoch=1, position=0, task=1)
    """

    order: npt.NDArray[np.int64]
    n_tasks: int
    updates_per_visit: int

    @property
    def n_visits(self) -> int:
        """Visits of the run, E·T for one visit per task and epoch (snapshots are one more)."""
        return int(self.order.size)

    @property
    def last_visit(self) -> int | None:
        """Number of the last visit, or None where it is not known before the run ends."""
        return self.n_visits

    @property
    def n_updates(self) -> int:
        """Optimizer steps of the run."""
        return self.n_visits * self.updates_per_visit

    def visit(self, number: int) -> Visit:
        """Give the visit after whose end `number` visits are completed."""
        if number == 0:
            return Visit(0)
        epoch, position = divmod(number - 1, self.order.shape[1])
        return Visit(number, epoch, position, int(self.order[epoch, position]))

    def visits(self, first: int = 1) -> Iterator[Visit]:
        """Give the visits that train something, in order, from one of them on."""
        return (self.visit(number) for number in range(max(1, first), self.n_visits + 1))

    def updates(self, visit: Visit) -> Iterator[Update]:
        """Give the updates of one visit, in order."""
        first = (visit.number - 1) * self.updates_per_visit
        return (Update(first + index, index, visit) for index in range(self.updates_per_visit))

    def chosen(self, cadence: Cadence) -> tuple[int, ...]:
        """Give the visit numbers, 0 included, at which `cadence` fires."""
        return tuple(number for number in range(self.n_visits + 1) if cadence(number))


@dataclass(frozen=True, eq=False)
class OpenPlan(Plan):
    """A schedule that is not known before: no visit is planned, and all are recorded as they come.

    Parameters
    ----------
    order, n_tasks, updates_per_visit
        As of a `Plan`; nothing but the number of tasks can be known.
    places : dict
        What has become known of visits, by number; whoever drives the run adds to it.

    Examples
    --------
    >>> plan = OpenPlan(n_tasks=2)
    >>> plan.n_visits, plan.last_visit, plan.chosen(lambda visit: True)
    (0, None, ())
    """

    order: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 1), np.int64))
    n_tasks: int = 0
    updates_per_visit: int = 0
    places: dict[int, Visit] = field(default_factory=dict)

    def visit(self, number: int) -> Visit:
        """Give the visit, with its place in time as far as that is known yet."""
        return self.places.get(number, Visit(number))

    @property
    def last_visit(self) -> int | None:
        """Nobody knows."""
        return None

    def chosen(self, cadence: Cadence) -> tuple[int, ...]:
        """Give nothing: which visits there will be is not known."""
        return ()
