"""Weights at snapshots."""

from __future__ import annotations

from recorders.base import BaseRecorder
from recorders.selection import Selection, select_parameters
from recorders.tensors import fields_of, flat_copy, row_dtype
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Visit
from tracekit.schedule import every as every_visits
from tracekit.schema import Rows
from tracekit.writer import TraceWriter

GROUP = "weights"


class WeightRecorder(BaseRecorder):
    """Record parameters at snapshots: `weights`, dims (visit, element), and each by its name.

    Parameters
    ----------
    every : int
        Record at visit 0 and then once in this many visits.
    select : str or sequence of str, optional
        Globs over `named_parameters()` names; all of them if None. Tied weights are recorded once.
    """

    def __init__(self, every: int = 1, select: Selection = None) -> None:
        self._cadence = every_visits(every)
        self._selection = select

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare one row per chosen visit."""
        parameters = select_parameters(run.model, self._selection)
        self._tensors = list(parameters.values())
        self._rows = Rows(
            GROUP,
            fields_of(parameters),
            run.plan.chosen(self._cadence),
            dtype=row_dtype(self._tensors),
            attributes={"long_name": "parameters of the model"},
        )
        self._trace = trace
        trace.declare_rows(self._rows)

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Copy the weights."""
        if self._cadence(visit.number):
            sizes = [field.size for field in self._rows.fields]
            self._trace.put_row(GROUP, visit.number, flat_copy(self._tensors, sizes, self._rows.dtype))

    def stop(self) -> None:
        """Let go of the parameters."""
        self._tensors = []
