"""Pairwise recovery: what a trial visit to each task would do to the loss of every other."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from recorders.base import TensorRecorder
from recorders.exchange import is_sharded
from recorders.steps import innermost
from recorders.undisturbed import undisturbed
from tracekit.cadence_forms import WhenForm
from tracekit.errors import ConfigurationError
from tracekit.format.schema import Field, Rows
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Update, Visit
from tracekit.training.loop import compute_gradients
from tracekit.training.loop_settings import LoopSettings
from tracekit.writing.writer import TraceWriter

GROUP = "pairwise_recovery"


class PairwiseRecoveryRecorder(TensorRecorder):
    r"""Record the pairwise recovery matrix: `pairwise_recovery`, `recovery` (visit, trained, evaluated).

    .. math:: R[v, i, j] = L_j(\theta_v) - L_j(\theta_v \text{ after } M \text{ updates on task } i)

    At each chosen snapshot v and for each task i, a copy of the model and of the optimizer, with its state,
    makes a trial visit to task i; then the loss of every task j is taken. Positive: training on i lowers the
    loss of j. In our own trainer a trial is what a visit at that place of the run would be, to the last bit,
    with its random streams and clipping: the row of the task that comes next holds the losses that the run
    goes on to have. A loop of one's own may do more between updates than a trial does (change the learning
    rate, accumulate); there a trial is a plain backward pass and step. A trial whose loss is no number gives
    NaN. Costs T visits and T + 1 evaluations of all tasks at each chosen snapshot, and the memory of one
    copy.

    Parameters
    ----------
    updates : int, optional
        Updates of a trial visit, M; as many as a visit of the run if None.
    every, when
        At which visits; see `recorders.base.TensorRecorder`.

    References
    ----------
    .. [1] Yang, Jones, Mozer, Ren (2024), arXiv:2403.09613, Figs. 8b and 18.
    """

    def __init__(
        self, updates: int | None = None, *, every: int | None = None, when: WhenForm | None = None
    ) -> None:
        super().__init__(every, when)
        if updates is not None and updates < 1:
            raise ConfigurationError(f"updates: expected 1 or more updates of a trial, found {updates}")
        self._updates = updates

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare a matrix over all tasks at every chosen snapshot.

        Raises
        ------
        ConfigurationError
            If there are no tasks, no number of updates, or the model is sharded over processes.
        """
        _require_copyable(run)
        self._n_updates = self._updates or run.plan.updates_per_visit
        if not self._n_updates:
            raise ConfigurationError(
                f"{GROUP}: how many updates a visit has is not planned; say how many a trial is to have "
                "(updates=…)"
            )
        settings = LoopSettings.of(run.configuration)
        self._settings = replace(settings, stop_on_nan=False)  # a trial must not stop the run
        self._run, self._trace = run, trace
        names = run.tasks.names
        trace.declare_rows(
            Rows(
                GROUP,
                (Field("recovery", (len(names),), "float64", axes=("evaluated",)),),
                self._visits(run.plan),
                middle=("trained", names),
                dtype="float64",
                labels={"evaluated": names},
                attributes={
                    "long_name": "fall of the loss by a trial visit",
                    "units": run.tasks.loss_units,
                    "updates_per_trial": self._n_updates,
                },
            )
        )

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Make a trial visit to every task."""
        if self._fires(visit.number):
            with undisturbed(self._run.model):
                before = self._run.tasks.losses(self._run.model)
                after = np.stack(list(self._trials(visit)))
            self._trace.put_row(GROUP, visit.number, before - after)

    def stop(self) -> None:
        """Let go of the run."""
        super().stop()
        vars(self).pop("_run", None)
        vars(self).pop("_trace", None)

    def _trials(self, visit: Visit) -> Iterator[npt.NDArray[np.float64]]:
        """Give the losses of all tasks after a trial visit to each, from a snapshot."""
        for task in range(len(self._run.tasks.names)):
            trial = _copied(self._run)
            trial.model.train()
            for update in self._planned(Visit(visit.number + 1, task=task)):
                compute_gradients(trial, update, self._settings)
                trial.optimizer.step()
            yield trial.tasks.losses(trial.model.eval())

    def _planned(self, visit: Visit) -> Iterator[Update]:
        """Give the updates of a trial, numbered as those of a visit at its place, which have their seeds."""
        first = (visit.number - 1) * self._n_updates
        return (Update(first + index, index, visit) for index in range(self._n_updates))


def _copied(run: Run) -> Run:
    """Give a run with copies of the model and of the optimizer, which trains the copied model."""
    model, optimizer = copy.deepcopy((run.model, innermost(run.optimizer)))
    return replace(run, model=model, optimizer=optimizer)


def _require_copyable(run: Run) -> None:
    if not run.tasks.names:
        raise ConfigurationError(
            f"{GROUP}: expected tasks to make trial visits to, found none; give `record` a TaskSet "
            "(tracekit.protocols), or leave this recorder out"
        )
    if is_sharded(list(run.model.parameters())):
        raise ConfigurationError(
            f"{GROUP}: the model is sharded over processes, so that none of them can train a copy of it; "
            "leave this recorder out"
        )
    try:
        _copied(run)
    except (TypeError, RuntimeError) as error:
        raise ConfigurationError(
            f"{GROUP}: the model or the optimizer cannot be copied ({error}); leave this recorder out"
        ) from error
