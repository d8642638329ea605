"""Record any torch loop: the loop stays as it is, and says when a visit is over."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import torch

from recorders.handed import Losses, evaluation_of, number_of, tasks_of
from recorders.steps import Loss, Steps, innermost
from recorders.teams import TorchTeam, team_of, unwrapped
from recorders.undisturbed import undisturbed
from tracekit.errors import ConfigurationError, TraceWarning, TraceWriteError
from tracekit.protocols import Evaluation, Recorder, Run, TaskSet
from tracekit.schedule import NOTHING, OpenPlan, Plan, Update, Visit
from tracekit.writing.recording import Recording

NO_LOSS = float("nan")
NOT_KNOWN = float("nan")


class LoopTrace:
    """The trace of a loop while it runs; `record` makes it.

    Parameters
    ----------
    run : Run
        Model, optimizer, tasks and plan.
    recording : Recording
        Drives the recorders.
    evaluation
        Losses of all tasks before any training.
    restored : bool
        Bring the model and the optimizer to the newest checkpoint of the trace first.
    team : TorchTeam, optional
        The processes that train together.
    """

    def __init__(
        self,
        run: Run,
        recording: Recording,
        evaluation: Losses = None,
        *,
        restored: bool = False,
        team: TorchTeam | None = None,
    ) -> None:
        self._run = run
        self._team = team
        self._recording = recording
        self._first_losses = evaluation
        self._restored = restored
        self._losses: list[torch.Tensor | float] = []
        self._visit = Visit(0)
        self._index = 0
        self._norm = NOT_KNOWN
        self._stack: ExitStack | None = None
        self._entered = False

    @property
    def visits(self) -> int:
        """Visits completed, those before the loop was resumed included."""
        return self._visit.number - 1

    @property
    def updates(self) -> int:
        """Updates since the last visit ended."""
        return self._index

    def __enter__(self) -> Self:
        if self._entered:
            raise TraceWriteError(
                f"{self._recording.path}: this recording was begun before; call record(…) again for "
                "another trace"
            )
        self._entered = True
        with ExitStack() as stack:
            stack.push(self._finish)
            self._start()
            steps = Steps(self._run.optimizer, self._before_update, self._after_update)
            stack.callback(steps.remove)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.__exit__(kind, error, traceback)

    def begin(self, *, task: int | str | None = None, epoch: int | None = None) -> None:
        """Say beforehand what the visit to come trains; recorders that look at updates then know it.

        Parameters
        ----------
        task : int or str, optional
            Number or name of the task.
        epoch : int, optional
            Number of the epoch, from 0.
        """
        self._visit = self._placed(task, epoch)

    def loss(self, value: torch.Tensor | float) -> None:
        """Hand over the train loss of the update to come, before `optimizer.step()`.

        It is what `backward()` was called on. Where gradients are accumulated, hand over the loss of each
        part: they are added up, as the gradients are.
        """
        self._losses.append(value.detach() if isinstance(value, torch.Tensor) else value)

    def clipped(self, norm: torch.Tensor | float) -> None:
        """Hand over the norm that the gradients of the update to come had before they were clipped.

        It is what `torch.nn.utils.clip_grad_norm_` gives; before `optimizer.step()`.
        """
        self._norm = float(norm)

    def visit(
        self, *, task: int | str | None = None, epoch: int | None = None, evaluation: Losses = None
    ) -> None:
        """End a visit: take a snapshot, and commit all that was recorded since the last one.

        A visit may have any number of updates, none included.

        Parameters
        ----------
        task : int or str, optional
            Number or name of the task that was trained; as `begin` said, or as planned, if None.
        epoch : int, optional
            Number of the epoch, from 0.
        evaluation : Evaluation, mapping or array, optional
            Losses of all tasks now: by name, or in the order of the tasks. If None, they are computed where
            the tasks can be (a `TaskSet`), and missing otherwise.

        Raises
        ------
        ConfigurationError
            If there is no such task, or the plan says otherwise.
        TraceWriteError
            If the loop is not being recorded, a loss came after its step, or the trace cannot be written.
        """
        if self._stack is None:
            raise TraceWriteError(
                f"{self._recording.path}: is not being recorded; call visit() inside "
                "`with record(…) as trace:`"
            )
        if self._losses:
            raise TraceWriteError(
                f"{self._recording.path}, visit {self._visit.number}: a loss was handed over after the last "
                "step; call trace.loss(…) before optimizer.step()"
            )
        self._snapshot(self._placed(task, epoch), evaluation)

    def _start(self) -> None:
        if self._restored:
            self._run = _restored(self._run, self._recording.path)
        self._recording.start(self._run)
        snapshots = self._recording.snapshots
        self._visit = self._next(snapshots)
        if snapshots == 0:
            self._snapshot(Visit(0), self._first_losses)

    def _snapshot(self, visit: Visit, losses: Losses) -> None:
        self._note(visit)
        self._recording.after_visit(visit, self._evaluation(losses))
        self._visit, self._index = self._next(visit.number + 1), 0

    def _evaluation(self, losses: Losses) -> Evaluation:
        tasks = self._run.tasks
        if losses is not None:
            return evaluation_of(tasks, losses)
        with undisturbed(self._run.model):
            return Evaluation(tasks.losses(self._run.model, "train"), tasks.losses(self._run.model, "test"))

    def _next(self, number: int) -> Visit:
        """Give the visit to come, as far as it is known; after the last planned one there is none."""
        last = self._run.plan.last_visit
        return Visit(number) if last is not None and number > last else self._run.plan.visit(number)

    def _placed(self, task: int | str | None, epoch: int | None) -> Visit:
        """Give the visit under way with what is said of it now."""
        said = {} if task is None else {"task": number_of(self._run.tasks, task)}
        said |= {} if epoch is None else {"epoch": epoch}
        visit = replace(self._visit, **said)
        last = self._run.plan.last_visit
        if last is None:
            visit = replace(visit, position=self._position(visit))
            self._note(visit)
        elif visit.number > last:
            raise ConfigurationError(
                f"visit {visit.number}: the plan has {last} visits, and all of them are over"
            )
        elif visit != self._visit:
            raise ConfigurationError(
                f"visit {visit.number}: the plan says {self._visit}, and {visit} was trained"
            )
        return visit

    def _position(self, visit: Visit) -> int:
        """Count the visits before it in its epoch."""
        before = self._run.plan.visit(visit.number - 1)
        if visit.epoch == NOTHING:
            return NOTHING
        return before.position + 1 if before.epoch == visit.epoch else 0

    def _note(self, visit: Visit) -> None:
        if isinstance(self._run.plan, OpenPlan):
            self._run.plan.places[visit.number] = visit

    def _before_update(self) -> None:
        norm, self._norm = self._norm, NOT_KNOWN
        self._update = Update(self._recording.n_updates, self._index, self._visit, clipped_from=norm)
        self._recording.before_update(self._update)

    def _after_update(self, loss: Loss) -> None:
        losses, self._losses = self._losses, []
        if not losses:
            losses = [NO_LOSS if loss is None else loss]
        total = sum(float(value) for value in losses)
        self._recording.after_update(self._update, total if self._team is None else self._team.mean(total))
        self._index += 1

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._recording.finish(error)
        if self._index and error is None:
            warnings.warn(
                f"{self._recording.path}: {self._index} updates after visit {self.visits} are not in the "
                "trace, since no visit() came after them",
                TraceWarning,
                stacklevel=4,
            )


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
        recorder `tracekit.training.Checkpoints`; without one the loop begins anew,
        and is compared with the trace.
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


def _restored(run: Run, path: str | os.PathLike[str]) -> Run:
    from tracekit.training import restore

    return restore(run, path)


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
