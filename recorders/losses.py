"""Losses: of every task at every snapshot, and of every update."""

from __future__ import annotations

from recorders.base import BaseRecorder
from tracekit.format.schema import Series
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Update, Visit
from tracekit.writing.writer import TraceWriter

GROUP = "losses"


class LossRecorder(BaseRecorder):
    """Record `eval_loss` (visit, task), `test_loss` (visit, test_task) and `train_loss` (update).

    Evaluation losses are those of the snapshot; a training loss is taken before its update changes the
    weights. Tasks held out give `test_loss`; where there are none, there is no such variable.
    """

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare the series."""
        self._trace = trace
        units = run.tasks.loss_units
        series = [Series(GROUP, "train_loss", "update", units=units, long_name="loss before the update")]
        labels: dict[str, tuple[str, ...]] = {}
        self._evaluated = bool(run.tasks.names)
        if self._evaluated:
            series.append(
                Series(GROUP, "eval_loss", dims=("task",), units=units, long_name="loss of every task")
            )
            labels["task"] = run.tasks.names
        self._held_out = bool(run.tasks.test_names)
        if self._held_out:
            series.append(
                Series(
                    GROUP, "test_loss", dims=("test_task",), units=units, long_name="loss of held-out tasks"
                )
            )
            labels["test_task"] = run.tasks.test_names
        trace.declare_series(series, labels=labels)

    def after_update(self, update: Update, train_loss: float) -> None:
        """Record the training loss."""
        self._trace.put(GROUP, "train_loss", train_loss)

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Record the losses of all tasks."""
        if self._evaluated:
            self._trace.put(GROUP, "eval_loss", evaluation.eval_loss)
        if self._held_out:
            self._trace.put(GROUP, "test_loss", evaluation.test_loss)
