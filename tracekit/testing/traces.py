"""An opened trace of a made-up run, in memory, whose similarities are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from tracekit.schedule import Plan
from tracekit.testing.losses import Floats, cyclic_order, synthetic_losses, task_names, visit_coordinates

CENTER = 100.0
"""Place of the center of the circle, in every element."""


def synthetic_trace(
    *,
    n_tasks: int = 4,
    n_epochs: int = 3,
    order: npt.ArrayLike | None = None,
    order_name: str = "cyclic",
    period: int | None = None,
    pitch: float = 0.0,
    noise: float = 0.0,
    recovery_scores: Sequence[float] = (0.25, 0.5),
    attributes: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Make what `open_trace` gives of a complete run, lazy and with several chunks along every dim.

    Losses are those of `synthetic_losses`. Weights go round a circle of radius 1 that they close in `period`
    visits, far from zero (at `CENTER` in all 8 elements), so that for three tasks or more the residual
    cosine of visits s and t is cos(2π (s − t) / period), and each step has length 2 sin(π / period). With a
    `pitch` they go along a helix: element 3 grows by `pitch` with every visit, so that visits n whole turns
    apart lie n · period · pitch apart, and each step has length √(4 sin²(π / period) + pitch²).
    Gradients are the steps that lead to the next weights, for every visit but 0. Activations are the weights
    times 1, 2, … for each probe. A trial visit to task i lowers the loss of task j by 1/2 to the power of
    (j − i) mod T, at every visit. The cosine between the gradients of tasks i and j is cos(2 π (j − i) / T).

    Parameters
    ----------
    n_tasks, n_epochs : int
        Size of the cyclic run; not used where `order` is given.
    order : array of int, dims (epoch, position), optional
        Task of each visit.
    order_name : str
        What the run says of its order.
    period : int, optional
        Visits in which the weights go round; `n_tasks` if None.
    pitch : float
        How far the weights go on with each visit, at a right angle to the circle.
    noise : float
        Standard deviation of independent normal numbers, the same in every such trace, that are added to
        all elements of the weights.
    recovery_scores : sequence of float
        As for `synthetic_losses`.
    attributes : mapping, optional
        What else the run says of itself, such as its `configuration`.

    Returns
    -------
    DataTree
        Nodes losses, pairwise_recovery, and weights, gradients, task_gradients and activations, each of
        these four with a child `flat`.

    Raises
    ------
    ValueError
        If there are no tasks or no visits.

    Examples
    --------
    >>> trace = synthetic_trace(n_tasks=4, n_epochs=2)
    >>> dict(trace["weights/flat"]["values"].sizes)
    {'visit': 9, 'element': 8}
    """
    table = cyclic_order(n_tasks, n_epochs) if order is None else np.asarray(order, dtype=np.int64)
    losses = synthetic_losses(order=table, recovery_scores=recovery_scores)
    plan = Plan(table, n_tasks=int(table.max()) + 1, updates_per_visit=1)
    weights = _helix(plan.n_visits + 1, period or plan.n_tasks, pitch)
    weights += noise * np.random.default_rng(0).standard_normal(weights.shape)
    probes = task_names(plan.n_tasks)
    factors = np.arange(1.0, plan.n_tasks + 1)[:, np.newaxis]
    coordinates = visit_coordinates(plan)
    after_visit_0 = {name: values[1:] for name, values in coordinates.items()}
    nodes = {
        "/losses": losses,
        **_kind("weights", weights, coordinates),
        **_kind("gradients", -np.diff(weights, axis=0), after_visit_0),
        **_kind("activations", weights[:, np.newaxis, :] * factors, {**coordinates, "probe": probes}),
        **_kind("task_gradients", _around(plan), {**coordinates, "task": probes}),
        "/pairwise_recovery": _pairwise_recovery(plan.n_visits + 1, plan.n_tasks, coordinates),
    }
    lazy = {path: _lazy(node) for path, node in nodes.items()}
    facts = {**_attributes(plan, order_name), **(attributes or {})}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=facts), **lazy})


def synthetic_runs(n_runs: int, **settings: Any) -> list[xr.DataTree]:
    """Make traces of runs that differ as runs do: in the order they name, the seed, and the model's size.

    Parameters
    ----------
    n_runs : int
        How many.
    settings
        As for `synthetic_trace`, the same for all.

    Examples
    --------
    >>> [trace.attrs["order"] for trace in synthetic_runs(3, n_tasks=2)]
    ['cyclic', 'shuffled', 'cyclic']
    """
    return [
        synthetic_trace(
            **settings,
            order_name=("cyclic", "shuffled")[number % 2],
            attributes={
                "path": f"run-{number}",
                "run_id": f"synthetic-{number}",
                "configuration": {"seed": number},
                "model_signature": {"block.weight": f"float32[{8 * (number + 1)}]"},
            },
        )
        for number in range(n_runs)
    ]


def _lazy(node: xr.Dataset) -> xr.Dataset:
    """Cut variables into chunks of 3 along every dim; coordinates stay in memory, as in an opened trace."""
    chunked = {name: values.variable.chunk(dict.fromkeys(values.dims, 3)) for name, values in node.items()}
    return node.assign(chunked)


def _helix(n_visits: int, period: int, pitch: float) -> Floats:
    """Give 8 elements of which elements 0 and 5 go round, and 3 goes on, dims (visit, element)."""
    angle = 2 * np.pi * np.arange(n_visits) / period
    values = np.full((n_visits, 8), CENTER)
    values[:, 0] += np.cos(angle)
    values[:, 5] += np.sin(angle)
    values[:, 3] += pitch * np.arange(n_visits)
    return values


def _around(plan: Plan) -> Floats:
    """Give each task a direction in a circle, the same at every visit, dims (visit, task, element)."""
    angle = 2 * np.pi * np.arange(plan.n_tasks) / plan.n_tasks
    values = np.zeros((plan.n_visits + 1, plan.n_tasks, 8))
    values[..., 0], values[..., 5] = np.cos(angle), np.sin(angle)
    return values


def _kind(kind: str, values: Floats, coordinates: dict[str, Any]) -> dict[str, xr.Dataset]:
    """Give the nodes of a kind: `block.weight` of 2 × 2 and `block.bias` of 4 by name, and the flat rows."""
    middle = "probe" if "probe" in coordinates else "task"
    dims = ("visit", middle, "element") if values.ndim == 3 else ("visit", "element")
    outer = dims[:-1]
    shape = values.shape[:-1]
    fields = [
        {"name": "block.weight", "shape": [2, 2], "offset": 0, "dtype": "float64"},
        {"name": "block.bias", "shape": [4], "offset": 4, "dtype": "float64"},
    ]
    named = {
        "block.weight": ((*outer, "axis0_2", "axis1_2"), values[..., :4].reshape(*shape, 2, 2)),
        "block.bias": ((*outer, "axis0_4"), values[..., 4:]),
    }
    flat = xr.Dataset({"values": (dims, values, {"fields": fields})}, coords=coordinates)
    return {f"/{kind}": xr.Dataset(named, coords=coordinates), f"/{kind}/flat": flat}


def _pairwise_recovery(n_visits: int, n_tasks: int, coordinates: dict[str, Any]) -> xr.Dataset:
    tasks = np.arange(n_tasks)
    matrix = 0.5 ** ((tasks - tasks[:, np.newaxis]) % n_tasks)
    pairs = {"trained": task_names(n_tasks), "evaluated": task_names(n_tasks)}
    values = (("visit", *pairs), np.tile(matrix, (n_visits, 1, 1)))
    return xr.Dataset({"recovery": values}, {**coordinates, **pairs}, {"units": "nats per token"})


def _attributes(plan: Plan, order_name: str) -> dict[str, Any]:
    return {
        "format_version": 1,
        "run_id": "synthetic",
        "configuration": {},
        "software": {},
        "status": "complete",
        "snapshots_committed": plan.n_visits + 1,
        "generation": 0,
        "snapshots_planned": plan.n_visits + 1,
        "updates_per_visit": plan.updates_per_visit,
        "order": order_name,
        "n_tasks": plan.n_tasks,
        "n_epochs": len(plan.order),
        "path": "memory",
    }
