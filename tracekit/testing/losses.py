"""Losses of a made-up run whose recovery scores are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from tracekit.schedule import Plan

Floats = npt.NDArray[np.float64]


def cyclic_order(n_tasks: int, n_epochs: int) -> npt.NDArray[np.int64]:
    """Give the order 0, 1, … T − 1 in every epoch, dims (epoch, position).

    Examples
    --------
    >>> cyclic_order(3, 2)
    array([[0, 1, 2],
           [0, 1, 2]])
    """
    return np.tile(np.arange(n_tasks), (n_epochs, 1))


def synthetic_losses(
    *,
    n_tasks: int = 4,
    n_epochs: int = 3,
    recovery_scores: Sequence[float] = (0.25, 0.5),
    order: npt.ArrayLike | None = None,
    after: npt.ArrayLike = 1.0,
    forgetting: npt.ArrayLike = 1.0,
) -> xr.Dataset:
    """Make the `losses` of a run, in memory, whose recovery scores are those asked for.

    In interval n of length d the loss of a task goes in a straight line from `after` at its visit to
    `after` + `forgetting` at d // 2 visits later, and in another to the value that gives the recovery
    score at d − 1 visits later. Before its first visit a task is at its peak; after its last one it is
    forgotten alike.

    Parameters
    ----------
    n_tasks, n_epochs : int
        Size of the cyclic run; not used where `order` is given.
    recovery_scores : sequence of float
        Share of the forgetting undone in interval 1, 2, …; later intervals repeat the last one.
    order : array of int, dims (epoch, position), optional
        Task of each visit, for orders that are not cyclic. In an interval shorter than three visits the
        peak is the last loss, and nothing is undone.
    after, forgetting : float or array of float, dims (task,)
        Loss after a visit, and how far it rises, in nats per token.

    Returns
    -------
    Dataset
        `eval_loss` (visit, task) and `train_loss` (update), with the coordinates of a trace.

    Raises
    ------
    ValueError
        If there are no tasks or no visits.

    Examples
    --------
    >>> losses = synthetic_losses(n_tasks=4, n_epochs=2, recovery_scores=[0.25])
    >>> losses["eval_loss"].isel(task=0).values.tolist()
    [2.0, 1.0, 1.5, 2.0, 1.75, 1.0, 1.5, 2.0, 1.75]
    """
    table = cyclic_order(n_tasks, n_epochs) if order is None else np.asarray(order, dtype=np.int64)
    if table.size == 0:
        raise ValueError("a run needs at least one task and one visit")
    plan = Plan(table, n_tasks=int(table.max()) + 1, updates_per_visit=1)
    low, rise = (
        np.broadcast_to(np.asarray(value, dtype=np.float64), plan.n_tasks) for value in (after, forgetting)
    )
    curves = [_curve(plan, task, recovery_scores) for task in range(plan.n_tasks)]
    loss = low + rise * np.stack(curves, axis=1)
    coordinates = visit_coordinates(plan)
    train_loss = loss[np.arange(plan.n_visits), coordinates["trained_task"].values[1:]]
    return xr.Dataset(
        {
            "eval_loss": (("visit", "task"), loss, {"units": "nats per token"}),
            "train_loss": ("update", train_loss, {"units": "nats per token"}),
        },
        coords={
            **coordinates,
            "task": task_names(plan.n_tasks),
            "update": np.arange(plan.n_updates),
            "update_visit": ("update", np.arange(1, plan.n_visits + 1)),
        },
    )


def _curve(plan: Plan, task: int, scores: Sequence[float]) -> Floats:
    """Give the share of the forgetting that is there at every visit."""
    curve = np.ones(plan.n_visits + 1)
    visits = [visit.number for visit in plan.visits() if visit.task == task]
    for index, start in enumerate(visits):
        end = visits[index + 1] if index + 1 < len(visits) else plan.n_visits + 1
        length = end - start if index + 1 < len(visits) else plan.n_tasks
        shape = _interval(max(length, end - start), scores[min(index, len(scores) - 1)])
        curve[start:end] = shape[: end - start]
    return curve


def _interval(length: int, score: float) -> Floats:
    if length < 3:
        return np.arange(length, dtype=np.float64)
    return np.interp(np.arange(length), [0, length // 2, length - 1], [0.0, 1.0, 1.0 - score])


def task_names(n_tasks: int) -> list[str]:
    """Give the names `task-0`, `task-1`, and so on."""
    return [f"task-{task}" for task in range(n_tasks)]


def visit_coordinates(plan: Plan) -> dict[str, xr.Variable]:
    """Give the coordinates that every node of a trace has along `visit`."""
    visits = [plan.visit(number) for number in range(plan.n_visits + 1)]
    values = {
        "visit": [visit.number for visit in visits],
        "epoch": [visit.epoch for visit in visits],
        "position": [visit.position for visit in visits],
        "trained_task": [visit.task for visit in visits],
    }
    return {
        name: xr.Variable(("visit",), np.array(numbers, dtype=np.int64)) for name, numbers in values.items()
    }
