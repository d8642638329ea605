"""Which updates of a visit are recorded: the first, all of them, or some by their index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from tracekit.errors import ConfigurationError
from tracekit.schedule import Plan, Update

Updates = Literal["first", "all"] | Sequence[int]


class UpdateChoice:
    """Says of every update of a recorded visit whether it is recorded, and as which sample.

    Parameters
    ----------
    updates : {"first", "all"} or sequence of int
        The first update, as the one sample of its visit; or all, or those of the given indices within a
        visit, as samples of their own.

    Raises
    ------
    ConfigurationError
        If `updates` is anything else.

    Examples
    --------
    >>> import numpy as np
    >>> plan = Plan(np.array([[0, 1]]), n_tasks=2, updates_per_visit=3)
    >>> UpdateChoice([0, 2]).samples(plan, visits=(0, 1, 2))
    ((1, 1, 2, 2), (0, 2, 3, 5))
    >>> UpdateChoice("first").samples(plan, visits=(0, 1, 2))
    ((1, 2), None)
    """

    def __init__(self, updates: Updates) -> None:
        self.per_visit = updates == "first"
        self._indices = _indices(updates)

    def __contains__(self, update: Update) -> bool:
        return self._indices is None or update.index in self._indices

    def number(self, update: Update) -> int:
        """Give the number of the sample that an update makes: that of its visit, or its own."""
        return update.visit.number if self.per_visit else update.number

    def samples(self, plan: Plan, visits: Iterable[int]) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
        """Give the visit of every sample, and its update unless there is one sample per visit.

        Visit 0 has no updates.

        Raises
        ------
        ConfigurationError
            If a visit has no update of a chosen index.
        """
        beyond = [index for index in self._indices or () if index >= plan.updates_per_visit]
        if beyond and plan.last_visit is not None:
            raise ConfigurationError(
                f"updates: expected indices from 0 to {plan.updates_per_visit - 1}, since a visit has "
                f"{plan.updates_per_visit} updates; found {min(beyond)}"
            )
        trained = (plan.visit(number) for number in visits if number > 0)
        chosen = [update for visit in trained for update in plan.updates(visit) if update in self]
        of_visits = tuple(update.visit.number for update in chosen)
        return of_visits, None if self.per_visit else tuple(update.number for update in chosen)


def _indices(updates: Updates) -> frozenset[int] | None:
    """Give the chosen indices, None for all."""
    if updates == "first":
        return frozenset((0,))
    if updates == "all":
        return None
    listed = isinstance(updates, Iterable) and not isinstance(updates, str)
    if not listed or not updates or any(type(index) is not int or index < 0 for index in updates):
        raise ConfigurationError(
            f"updates: expected 'first', 'all' or a list of indices from 0, such as [0, 9]; found {updates!r}"
        )
    return frozenset(updates)
