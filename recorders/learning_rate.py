"""Learning rates, of every update."""

from __future__ import annotations

from recorders.base import BaseRecorder
from recorders.steps import innermost
from tracekit.format.schema import Series
from tracekit.protocols import Run
from tracekit.schedule import Update
from tracekit.writing.writer import TraceWriter

GROUP = "learning_rates"


class LearningRateRecorder(BaseRecorder):
    """Record the learning rate of every update: `learning_rates`, `learning_rate` (update, param_group).

    It is what the optimizer uses in this update, for each of its groups of parameters, by their number.
    """

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare the series."""
        self._trace = trace
        self._groups = innermost(run.optimizer).param_groups
        numbers = [str(number) for number in range(len(self._groups))]
        series = Series(GROUP, "learning_rate", "update", dims=("param_group",))
        trace.declare_series([series], labels={"param_group": numbers})

    def before_update(self, update: Update) -> None:
        """Read them off the optimizer."""
        self._trace.put(GROUP, "learning_rate", [float(group["lr"]) for group in self._groups])

    def stop(self) -> None:
        """Let go of the optimizer."""
        vars(self).pop("_groups", None)
