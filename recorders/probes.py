"""Probes: tasks that go through the model at snapshots, only to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracekit.errors import ConfigurationError
from tracekit.protocols import Run

MOST_BY_DEFAULT = 4


def chosen_probes(run: Run, probes: Sequence[int] | None, kind: str) -> tuple[int, ...]:
    """Give the numbers of the tasks to probe with: the first four (or all, if fewer) if None.

    Raises
    ------
    ConfigurationError
        If there is no such task.
    """
    n_tasks = len(run.tasks.names)
    chosen = tuple(range(min(MOST_BY_DEFAULT, n_tasks))) if probes is None else tuple(probes)
    for task in chosen:
        if not 0 <= task < n_tasks:
            raise ConfigurationError(f"{kind}: probe {task} is none of the tasks 0 to {n_tasks - 1}")
    return chosen


def method_of_tasks(run: Run, method: str, kind: str) -> Any:
    """Give a method that only some tasks have, such as those of language models.

    Raises
    ------
    ConfigurationError
        If the tasks of the run do not have it.
    """
    found = getattr(run.tasks, method, None)
    if found is None:
        raise ConfigurationError(
            f"{kind}: tasks of type {type(run.tasks).__name__} have no method {method!r}, which documents "
            "have; leave this recorder out, or give the tasks one (see tracekit.protocols.TokenTaskSet)"
        )
    return found
