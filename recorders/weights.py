"""Weights at snapshots."""

from __future__ import annotations

from recorders.base import TensorRecorder
from recorders.keeping import Keep, Kept
from recorders.selection import Selection, select_parameters
from recorders.tensors import fields_of, row_dtype
from tracekit.cadence_forms import WhenForm
from tracekit.format.schema import Rows
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Visit
from tracekit.writing.writer import TraceWriter

GROUP = "weights"


class WeightRecorder(TensorRecorder):
    """Record parameters at snapshots: `weights`, dims (visit, element), and each by its name.

    Parameters
    ----------
    every, when, keep
        At which visits and in which form; see `recorders.base.TensorRecorder`.
    select : optional
        Which parameters, see `recorders.selection.Selection`; all of them if None. Tied weights come once.
    """

    def __init__(
        self,
        every: int | None = None,
        select: Selection = None,
        when: WhenForm | None = None,
        keep: Keep = "full",
    ) -> None:
        super().__init__(every, when, keep)
        self._selection = select

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare one row per chosen visit."""
        parameters = select_parameters(run.model, self._selection)
        self._tensors = list(parameters.values())
        rows = Rows(
            GROUP,
            fields_of(parameters),
            self._visits(run.plan),
            dtype=row_dtype(self._tensors),
            attributes={"long_name": "parameters of the model"},
        )
        self._kept = Kept(self._keep, run, trace, rows)

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Copy the weights."""
        if self._fires(visit.number):
            self._kept.put(visit.number, self._tensors)

    def stop(self) -> None:
        """Let go of the parameters."""
        super().stop()
        self._tensors = []
