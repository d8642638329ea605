"""Where a loop is that tells only as it goes: the visit under way, and the updates in it."""

from __future__ import annotations

from dataclasses import replace

from recorders.handed import number_of
from tracekit.errors import ConfigurationError
from tracekit.protocols import TaskSet
from tracekit.schedule import NOTHING, OpenPlan, Plan, Visit


class LoopPosition:
    """The visit that a loop trains, held against its plan; of an open one, the places of visits are noted.

    Parameters
    ----------
    plan : Plan
        The schedule, or what is known of it.
    tasks : TaskSet
        What is trained on.
    number : int
        The visit that comes next.
    """

    def __init__(self, plan: Plan, tasks: TaskSet, number: int) -> None:
        self._plan = plan
        self._tasks = tasks
        self.next(number)

    def next(self, number: int) -> None:
        """Go to a visit; after the last planned one there is none, but its number."""
        last = self._plan.last_visit
        self.visit = Visit(number) if last is not None and number > last else self._plan.visit(number)
        self.updates = 0

    def said(self, task: int | str | None, epoch: int | None) -> Visit:
        """Give the visit under way with what is said of it now.

        Raises
        ------
        ConfigurationError
            If there is no such task, or the plan says otherwise.
        """
        told = {} if task is None else {"task": number_of(self._tasks, task)}
        told |= {} if epoch is None else {"epoch": epoch}
        visit = replace(self.visit, **told)
        if self._plan.last_visit is None:
            visit = replace(visit, position=self._position(visit))
        else:
            self._check(visit, self._plan.last_visit)
        self.note(visit)
        return visit

    def note(self, visit: Visit) -> None:
        """Let an open plan know a visit."""
        if isinstance(self._plan, OpenPlan):
            self._plan.places[visit.number] = visit

    def _check(self, visit: Visit, last: int) -> None:
        if visit.number > last:
            raise ConfigurationError(
                f"visit {visit.number}: the plan has {last} visits, and all of them are over"
            )
        if visit != self.visit:
            raise ConfigurationError(
                f"visit {visit.number}: the plan says {self.visit}, and {visit} was trained"
            )

    def _position(self, visit: Visit) -> int:
        """Count the visits before it in its epoch."""
        before = self._plan.visit(visit.number - 1)
        if visit.epoch == NOTHING:
            return NOTHING
        return before.position + 1 if before.epoch == visit.epoch else 0
