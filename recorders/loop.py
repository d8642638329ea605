"""Record any torch loop: the loop stays as it is, and says when a visit is over."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from recorders.handed import Losses, tasks_of
from recorders.loop_trace import LoopTrace
from recorders.steps import innermost
from recorders.teams import team_of, unwrapped
from tracekit.errors import ConfigurationError
from tracekit.protocols import Recorder, Run, TaskSet
from tracekit.schedule import OpenPlan, Plan
from tracekit.writing.recording import Recording


def record(
    model: torch.nn.Module,
    optimizer: Any,
    path: str | os.PathLike[str],
    *,
    recorders: Sequence[Recorder],
    tasks: TaskSet | Sequence[str] | None = None,
    plan: Plan | None = None,
    evaluation: Losses = None,
    configuration: Mapping[str, Any] | None = None,
    resume: bool = False,
    snapshots: int | None = None,
    **settings: Any,
) -> LoopTrace:
    """Record a torch loop of any kind.

    The loop trains as it would without. Every step of the optimizer is an update; `visit()` ends a visit. The
    first snapshot, visit 0, is taken when the context is entered, before any training.

    Parameters
    ----------
    model : torch.nn.Module
        What is trained.
    optimizer
        What trains it: a torch optimizer, or a wrapper that holds one.
    path : str or path
        Where the trace will lie, a path or URL.
    recorders : sequence of Recorder
        What is recorded.
    tasks : TaskSet or sequence of str, optional
        What is trained on: names whose losses `visit` is given, or a `TaskSet`, which can compute them.
    plan : Plan, optional
        The schedule, where it is known; else visits are recorded as they come, and the trace is open-ended.
    evaluation
        Losses of all tasks before any training; see `LoopTrace.visit`.
    configuration : mapping, optional
        Whatever else the run is, plain values as JSON has them.
    resume : bool
        Go on with a trace. Its `visits` says how many visits lie behind.
    snapshots : int, optional
        With `resume`, how many snapshots the loop has behind it, which has brought back its model and
        optimizer itself. If None, these are brought to the newest checkpoint in the trace, made by the
        recorder `tracekit.training.Checkpoints`, and so are torch's random streams, unless several processes
        train together; without one the loop begins anew, and is compared with the trace.
    settings
        `overwrite`, `codec`, `durability`, `on_error`, `force_claim`: see `tracekit.Recording`.

    Returns
    -------
    LoopTrace
        A context manager, to be entered once.

    Raises
    ------
    ConfigurationError
        If the optimizer does not train the model.

    Examples
    --------
    >>> import tempfile
    >>> from recorders import LossRecorder, WeightRecorder
    >>> from tracekit import open_trace
    >>> path = tempfile.mkdtemp() + "/run.zarr"
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with record(model, optimizer, path, recorders=[LossRecorder(), WeightRecorder()]) as trace:
    ...     for epoch in range(2):
    ...         for _ in range(4):
    ...             optimizer.zero_grad()
    ...             loss = model(torch.ones(1, 3)).square().mean()
    ...             loss.backward()
    ...             trace.loss(loss)
    ...             optimizer.step()
    ...         trace.visit(epoch=epoch)
    >>> open_trace(path)["losses"].train_loss.shape, open_trace(path)["weights"]["weight"].shape
    ((8,), (3, 1, 3))
    """
    _check_trains(model, optimizer)
    known = tasks_of(tasks)
    schedule = OpenPlan(n_tasks=len(known.names)) if plan is None else plan
    team = team_of(model)
    run = Run(unwrapped(model), optimizer, known, schedule, dict(configuration or {}), snapshots or 0)
    recording = Recording(path, recorders, resume=resume, team=team, **settings)
    return LoopTrace(run, recording, evaluation, restored=resume and snapshots is None, team=team)


def _check_trains(model: torch.nn.Module, optimizer: Any) -> None:
    try:
        groups = innermost(optimizer).param_groups
    except TypeError as error:
        raise ConfigurationError(f"optimizer: {error}") from error
    held = {id(parameter) for group in groups for parameter in group["params"]}
    if held.isdisjoint(id(parameter) for parameter in model.parameters()):
        raise ConfigurationError(
            "optimizer: holds none of the model's parameters, so its steps do not train it; make it from "
            "model.parameters(), after the model has its final parameters (moved, wrapped, or with adapters)"
        )
