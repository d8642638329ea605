"""The trace of a loop while it runs: what the loop says becomes updates and visits."""

from __future__ import annotations

import os
import warnings
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import torch

from recorders.handed import Losses, evaluation_of
from recorders.loop_position import LoopPosition
from recorders.random_streams import bring_back_streams, carry_streams
from recorders.steps import Loss, Steps
from recorders.teams import TorchTeam
from recorders.undisturbed import undisturbed
from tracekit.errors import TraceWarning, TraceWriteError
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Update, Visit
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
        self._position = LoopPosition(run.plan, run.tasks, 0)
        self._norm = NOT_KNOWN
        self._stack: ExitStack | None = None
        self._entered = False

    @property
    def visits(self) -> int:
        """Visits completed, those before the loop was resumed included."""
        return self._position.visit.number - 1

    @property
    def updates(self) -> int:
        """Updates since the last visit ended."""
        return self._position.updates

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
        self._position.visit = self._position.said(task, epoch)

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
                f"{self._recording.path}, visit {self._position.visit.number}: a loss was handed over after "
                "the last step; call trace.loss(…) before optimizer.step()"
            )
        self._snapshot(self._position.said(task, epoch), evaluation)

    def _start(self) -> None:
        if self._restored:
            self._run = _restored(self._run, self._recording.path)
        self._recording.start(self._run)
        snapshots = self._recording.snapshots
        self._position.next(snapshots)
        if snapshots == 0:
            self._snapshot(Visit(0), self._first_losses)
        elif self._restored and self._team is None:
            bring_back_streams(self._run)

    def _snapshot(self, visit: Visit, losses: Losses) -> None:
        self._position.note(visit)
        if self._team is None:  # a checkpoint is of one process, and each draws for itself
            carry_streams(self._run)
        self._recording.after_visit(visit, self._evaluation(losses))
        self._position.next(visit.number + 1)

    def _evaluation(self, losses: Losses) -> Evaluation:
        tasks = self._run.tasks
        if losses is not None:
            return evaluation_of(tasks, losses)
        with undisturbed(self._run.model):
            return Evaluation(tasks.losses(self._run.model, "train"), tasks.losses(self._run.model, "test"))

    def _before_update(self) -> None:
        norm, self._norm = self._norm, NOT_KNOWN
        position = self._position
        self._update = Update(self._recording.n_updates, position.updates, position.visit, clipped_from=norm)
        self._recording.before_update(self._update)

    def _after_update(self, loss: Loss) -> None:
        losses, self._losses = self._losses, []
        if not losses:
            losses = [NO_LOSS if loss is None else loss]
        total = sum(float(value) for value in losses)
        self._recording.after_update(self._update, total if self._team is None else self._team.mean(total))
        self._position.updates += 1

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._recording.finish(error)
        if self.updates and error is None:
            warnings.warn(
                f"{self._recording.path}: {self.updates} updates after visit {self.visits} are not in the "
                "trace, since no visit() came after them",
                TraceWarning,
                stacklevel=4,
            )


def _restored(run: Run, path: str | os.PathLike[str]) -> Run:
    from tracekit.training import restore

    return restore(run, path)
