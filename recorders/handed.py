"""What a loop hands over: the names of its tasks, and losses that it has computed itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tracekit.errors import ConfigurationError
from tracekit.plugins import suggestion
from tracekit.protocols import Evaluation, Split, TaskSet
from tracekit.schedule import NOTHING

Losses: TypeAlias = "Evaluation | Mapping[str, float] | npt.ArrayLike | None"
"""Losses of all tasks: as an `Evaluation`, by name (those left out are missing), or in the tasks' order."""


@dataclass(frozen=True)
class NamedTasks:
    """Tasks of which only the names are known: their losses are handed over.

    Parameters
    ----------
    names, test_names : sequence of str
        Names of the trained and of the held-out tasks.
    loss_units : str
        Units of their losses.
    """

    names: tuple[str, ...] = ()
    test_names: tuple[str, ...] = ()
    loss_units: str = "1"
    fingerprints: Mapping[str, str] = field(default_factory=dict)

    def loss(self, model: Any, task: int, split: Split = "train") -> Any:
        """Refuse: the loss of a mere name cannot be computed."""
        raise ConfigurationError(
            "tasks: a recorder wants to compute the loss of a task, and only names of tasks are known; give "
            "`record` a TaskSet (tracekit.protocols), or leave that recorder out"
        )

    def losses(self, model: Any, split: Split = "train") -> npt.NDArray[np.float64]:
        """Give what was not handed over: missing values."""
        return np.full(len(self.names if split == "train" else self.test_names), np.nan)


def tasks_of(tasks: TaskSet | Sequence[str] | None) -> TaskSet:
    """Give the tasks that some names, or nothing, stand for."""
    if tasks is None:
        return NamedTasks()
    if isinstance(tasks, Sequence):
        return NamedTasks(tuple(tasks))
    return tasks


def evaluation_of(tasks: TaskSet, losses: Losses) -> Evaluation:
    """Give the evaluation that some losses stand for; see `Losses`.

    Raises
    ------
    ConfigurationError
        If they are not those of the tasks.

    Examples
    --------
    >>> evaluation_of(NamedTasks(("a", "b"), ("c",)), {"c": 3.0, "a": 1.0})
    Evaluation(eval_loss=array([ 1., nan]), test_loss=array([3.]))
    """
    if isinstance(losses, Evaluation):
        return losses
    names = (*tasks.names, *tasks.test_names)
    values = _by_name(names, losses) if isinstance(losses, Mapping) else _in_order(tasks, losses)
    return Evaluation(values[: len(tasks.names)], values[len(tasks.names) :])


def number_of(tasks: TaskSet, task: int | str) -> int:
    """Give the number of a task by its name or number; `NOTHING` stands for none.

    Raises
    ------
    ConfigurationError
        If there is no such task.
    """
    if isinstance(task, str):
        if task not in tasks.names:
            raise ConfigurationError(f"task: no task {task!r}{suggestion(task, list(tasks.names))}")
        return tasks.names.index(task)
    if tasks.names and task != NOTHING and not 0 <= task < len(tasks.names):
        raise ConfigurationError(f"task: expected a number from 0 to {len(tasks.names) - 1}, found {task}")
    return task


def _by_name(names: Sequence[str], losses: Mapping[str, float]) -> npt.NDArray[np.float64]:
    strangers = [name for name in losses if name not in names]
    if strangers:
        raise ConfigurationError(
            f"evaluation: no task {strangers[0]!r}{suggestion(strangers[0], list(names))}"
        )
    return np.array([float(losses.get(name, np.nan)) for name in names])


def _in_order(tasks: TaskSet, losses: npt.ArrayLike | None) -> npt.NDArray[np.float64]:
    """Give losses of the trained tasks alone, or of the held-out ones after them."""
    sizes = (len(tasks.names), len(tasks.test_names))
    if losses is None:
        return np.full(sum(sizes), np.nan)
    values = np.asarray(losses, np.float64)
    if values.shape not in ((sizes[0],), (sum(sizes),)):
        raise ConfigurationError(
            f"evaluation: expected {sizes[0]} losses, one for each task, found an array of shape "
            f"{values.shape}"
        )
    return np.concatenate([values, np.full(sum(sizes) - len(values), np.nan)])
