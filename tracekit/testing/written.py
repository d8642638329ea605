"""Small traces on disk, for examples and tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.format.schema import Field, Rows, Series
from tracekit.schedule import Plan
from tracekit.store import Durability
from tracekit.writing.writer import TraceWriter


def write_example_trace(
    path: str | Path,
    *,
    n_tasks: int = 3,
    n_epochs: int = 2,
    order: str = "cyclic",
    attributes: Mapping[str, Any] | None = None,
    schedule: npt.ArrayLike | None = None,
    n_probes: int = 0,
    durability: Durability = "fsync",
) -> str:
    """Write a small trace with losses and weights, and give its path.

    The loss of a task is 1 after its visit and grows by 1 with every visit since, falling again over the last
    half of an epoch; weights walk on a circle once per epoch.

    Parameters
    ----------
    path : str or Path
        Where to.
    n_tasks, n_epochs : int
        Size of the run.
    order : str
        What the run says of its order.
    attributes : mapping, optional
        What else the run says of itself, such as its `configuration`.
    schedule : array of int, dims (epoch, position), optional
        Task of each visit; in turns if None.
    n_probes : int
        Write activations too, of so many probes, and a matrix of pairwise recovery, if it is not 0.
    durability : {"fsync", "rename"}
        As for `TraceWriter.create`; `"rename"` is much faster for many traces.

    Examples
    --------
    >>> import tempfile
    >>> write_example_trace(tempfile.mkdtemp() + "/run.zarr")[-8:]
    'run.zarr'
    """
    table = np.tile(np.arange(n_tasks), (n_epochs, 1)) if schedule is None else np.asarray(schedule)
    plan = Plan(table, n_tasks, updates_per_visit=2)
    facts = {"order": order, **(attributes or {})}
    visits = range(plan.n_visits + 1)
    with TraceWriter.create(path, plan, attributes=facts, durability=durability) as trace:
        names = [f"document {number}" for number in range(n_tasks)]
        trace.declare_series(
            [
                Series("losses", "eval_loss", dims=("task",), units="nats per token"),
                Series("losses", "train_loss", "update", units="nats per token"),
            ],
            labels={"task": names},
        )
        fields = (Field("layer.weight", (2, 3)), Field("layer.bias", (3,)))
        trace.declare_rows(Rows("weights", fields, tuple(visits)))
        if n_probes:
            trace.declare_rows(_activations(n_probes, visits))
            trace.declare_rows(_pairwise(tuple(names), visits))
        for number in visits:
            visit = plan.visit(number)
            since = np.array([(number - 1 - task) % n_tasks for task in range(n_tasks)])
            trace.put("losses", "eval_loss", 1.0 + np.minimum(since, n_tasks - since))
            for _ in plan.updates(visit) if number else ():
                trace.put("losses", "train_loss", 2.0)
            trace.put_row("weights", number, _on_a_circle(number / n_tasks))
            if n_probes:
                row = np.stack([_on_a_circle((number + probe**2) / n_tasks) for probe in range(n_probes)])
                trace.put_row("activations", number, row)
                trace.put_row("pairwise_recovery", number, np.eye(n_tasks))
            trace.commit(visit)
    return str(path)


def _activations(n_probes: int, visits: range) -> Rows:
    probes = tuple(f"document {number}" for number in range(n_probes))
    return Rows("activations", (Field("layer", (9,)),), tuple(visits), middle=("probe", probes))


def _pairwise(names: tuple[str, ...], visits: range) -> Rows:
    return Rows(
        "pairwise_recovery",
        (Field("recovery", (len(names),), "float64", axes=("evaluated",)),),
        tuple(visits),
        middle=("trained", names),
        dtype="float64",
        labels={"evaluated": names},
        attributes={"units": "nats per token"},
    )


def _on_a_circle(turns: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    angle = 2 * np.pi * turns
    return np.concatenate([np.full(6, np.cos(angle)), np.full(3, np.sin(angle))]).astype(np.float32)
