"""At which visits something is recorded: cadences, made once and then asked visit by visit.

A `When` says what is wanted of any run; `over(plan)` makes a `Cadence` of it, which says of a visit number
whether it is meant. Cadences are asked about visits as they come, so that they work where the length of a
run is not known; those that must know the end, or what is trained later, refuse such a run.

The first snapshot (visit 0) and the last one are part of every cadence, lists of visits and callables
included, since most questions are about what became of the beginning; `Exactly` leaves them out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass

from tracekit.errors import ConfigurationError
from tracekit.schedule import Cadence, Plan


class When(ABC):
    """Says at which visits of a run something is recorded. Join several by `|` (any) and `&` (all)."""

    @abstractmethod
    def over(self, plan: Plan) -> Cadence:
        """Give the cadence for a run, without its first and last snapshot.

        Raises
        ------
        ConfigurationError
            If the run has not what the cadence is about, or it is not known yet.
        """

    def __or__(self, other: When) -> When:
        return AnyOf((self, other))

    def __and__(self, other: When) -> When:
        return AllOf((self, other))


@dataclass(frozen=True)
class Every(When):
    """Once in n visits: at 0, n, 2 n and so on.

    Examples
    --------
    >>> [visit for visit in range(7) if Every(3).over(None)(visit)]
    [0, 3, 6]
    """

    n_visits: int

    def __post_init__(self) -> None:
        if self.n_visits < 1:
            raise ConfigurationError(f"every: expected 1 visit or more, found {self.n_visits}")

    def over(self, plan: Plan) -> Cadence:
        """Give the cadence, which is the same for every run."""
        return lambda visit: visit % self.n_visits == 0


@dataclass(frozen=True)
class At(When):
    """The visits that are named."""

    visits: Collection[int]

    def over(self, plan: Plan) -> Cadence:
        """Give the cadence; a visit beyond the end of the run is an error."""
        chosen = frozenset(self.visits)
        beyond = [visit for visit in chosen if visit < 0 or not _reached(visit, plan)]
        if beyond:
            raise ConfigurationError(
                f"visits: expected numbers from 0 to {plan.last_visit}, found {sorted(beyond)[0]}"
            )
        return chosen.__contains__


@dataclass(frozen=True)
class LogSpaced(When):
    """So many visits, each about the same factor after the one before; the last of them ends the run.

    Examples
    --------
    >>> import numpy as np
    >>> cadence = LogSpaced(5).over(Plan(np.zeros((1, 100), np.int64), n_tasks=1, updates_per_visit=1))
    >>> [visit for visit in range(101) if cadence(visit)]
    [3, 7, 17, 41, 100]
    """

    n_visits: int

    def __post_init__(self) -> None:
        if self.n_visits < 1:
            raise ConfigurationError(f"log_spaced: expected 1 visit or more, found {self.n_visits}")

    def over(self, plan: Plan) -> Cadence:
        """Give the cadence for a run whose end is known."""
        last = _known_end(plan, "log_spaced")
        if self.n_visits > last:
            raise ConfigurationError(f"log_spaced: expected at most the {last} visits, found {self.n_visits}")
        return frozenset(_spaced(self.n_visits, last)).__contains__


@dataclass(frozen=True)
class Epochs(When):
    """Every visit of the epochs that are named, counted from 0."""

    epochs: Collection[int]

    def over(self, plan: Plan) -> Cadence:
        """Give the cadence."""
        chosen = frozenset(self.epochs)
        return lambda visit: plan.visit(visit).epoch in chosen


@dataclass(frozen=True)
class Around(When):
    """The visits that bring a task back, once it was trained before, and so many before and after each.

    Parameters
    ----------
    tasks : collection of int
        Numbers of the tasks.
    width : int
        Visits before and after a revisit: 0 gives the revisits alone.

    Examples
    --------
    >>> import numpy as np
    >>> plan = Plan(np.array([[0, 1, 2], [2, 1, 0]]), n_tasks=3, updates_per_visit=1)
    >>> [visit for visit in range(7) if Around([1], width=1).over(plan)(visit)]
    [4, 5, 6]
    """

    tasks: Collection[int]
    width: int = 0

    def __post_init__(self) -> None:
        if self.width < 0:
            raise ConfigurationError(f"around: expected a width of 0 visits or more, found {self.width}")

    def over(self, plan: Plan) -> Cadence:
        """Give the cadence for a run whose order is known."""
        _known_end(plan, "around")
        strangers = [task for task in self.tasks if not 0 <= task < plan.n_tasks]
        if strangers:
            raise ConfigurationError(
                f"around: expected tasks from 0 to {plan.n_tasks - 1}, found {strangers[0]}"
            )
        near = {
            number
            for visit in _revisits(plan, frozenset(self.tasks))
            for number in range(visit - self.width, visit + self.width + 1)
        }
        return near.__contains__


@dataclass(frozen=True)
class Calling(When):
    """The visits for which a callable gives true."""

    cadence: Cadence

    def over(self, plan: Plan) -> Cadence:
        """Give the callable."""
        return self.cadence


@dataclass(frozen=True)
class AnyOf(When):
    """Visits that any part means."""

    parts: Collection[When]

    def over(self, plan: Plan) -> Cadence:
        """Give the cadence."""
        cadences = [part.over(plan) for part in self.parts]
        return lambda visit: any(cadence(visit) for cadence in cadences)


@dataclass(frozen=True)
class AllOf(When):
    """Visits that all parts mean."""

    parts: Collection[When]

    def over(self, plan: Plan) -> Cadence:
        """Give the cadence."""
        cadences = [part.over(plan) for part in self.parts]
        return lambda visit: all(cadence(visit) for cadence in cadences)


@dataclass(frozen=True)
class Exactly(When):
    """What is meant, without the first and last snapshot if these are not meant."""

    part: When

    def over(self, plan: Plan) -> Cadence:
        """Give the cadence."""
        return self.part.over(plan)


def cadence_over(when: When, plan: Plan) -> Cadence:
    """Give the cadence for a run, with its first and last snapshot.

    The last one belongs to it where the length of the run is known beforehand.

    Examples
    --------
    >>> import numpy as np
    >>> plan = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=5)
    >>> plan.chosen(cadence_over(Every(3), plan)), plan.chosen(cadence_over(Exactly(Every(3)), plan))
    ((0, 3, 4), (0, 3))
    """
    cadence = when.over(plan)
    if isinstance(when, Exactly):
        return cadence
    ends = (0, plan.last_visit)
    return lambda visit: visit in ends or cadence(visit)


def _reached(visit: int, plan: Plan) -> bool:
    return plan.last_visit is None or visit <= plan.last_visit


def _known_end(plan: Plan, what: str) -> int:
    if plan.last_visit is None:
        raise ConfigurationError(
            f"{what}: needs to know how long the run is and what it trains, and this one is open-ended; "
            "choose every, visits, epochs or a callable, or give the run a plan"
        )
    return plan.last_visit


def _spaced(n_visits: int, last: int) -> list[int]:
    """Give n different visits, the last of them `last`: where rounding would give one twice, the next."""
    visits = [0]
    for n_left in range(n_visits, 0, -1):
        reached = max(1, visits[-1])
        visits.append(max(round(reached * (last / reached) ** (1 / n_left)), visits[-1] + 1))
    return visits[1:]


def _revisits(plan: Plan, tasks: Collection[int]) -> list[int]:
    seen: set[int] = set()
    revisits: list[int] = []
    for visit in plan.visits():
        if visit.task in tasks and visit.task in seen:
            revisits.append(visit.number)
        seen.add(visit.task)
    return revisits
