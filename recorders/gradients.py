"""Gradients: of the updates as they are made, and of every task at a snapshot."""

from __future__ import annotations

import numpy as np
import torch

from recorders.base import BaseRecorder
from recorders.selection import Selection, select_parameters
from recorders.tensors import copy_into, fields_of, flat_copy, row_dtype
from recorders.undisturbed import undisturbed
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Update, Visit
from tracekit.schedule import every as every_visits
from tracekit.schema import Rows
from tracekit.writer import TraceWriter

GROUP = "gradients"
TASK_GROUP = "task_gradients"
UNITS = "loss per unit of the parameter"


class GradientRecorder(BaseRecorder):
    """Record the gradient that the first update of a visit uses: `gradients`, dims (visit, element).

    The row at visit v belongs to the visit that leads to snapshot v; the gradient is taken before the update,
    at the weights of snapshot v - 1, after clipping: it is what the optimizer sees. A parameter that the loss
    does not depend on has gradient zero.

    Parameters
    ----------
    every : int
        Record once in this many visits.
    select : str or sequence of str, optional
        Globs over `named_parameters()` names; all of them if None.
    """

    def __init__(self, every: int = 1, select: Selection = None) -> None:
        self._cadence = every_visits(every)
        self._selection = select

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare one row per chosen visit that trains something."""
        parameters = select_parameters(run.model, self._selection)
        self._parameters = list(parameters.values())
        visits = tuple(visit for visit in run.plan.chosen(self._cadence) if visit > 0)
        attributes = {
            "long_name": "gradient of the first update of the visit",
            "units": UNITS,
            "update_index": 0,
        }
        dtype = row_dtype(self._parameters)
        self._rows = Rows(
            GROUP, fields_of(parameters), visits, dtype=dtype, phase="before update", attributes=attributes
        )
        self._trace = trace
        trace.declare_rows(self._rows)

    def before_update(self, update: Update) -> None:
        """Copy the gradients: the optimizer and the next backward pass change them in place."""
        if update.index == 0 and self._cadence(update.visit.number):
            gradients = [parameter.grad for parameter in self._parameters]
            sizes = [field.size for field in self._rows.fields]
            self._trace.put_row(GROUP, update.visit.number, flat_copy(gradients, sizes, self._rows.dtype))

    def stop(self) -> None:
        """Let go of the parameters."""
        self._parameters = []


class TaskGradientRecorder(BaseRecorder):
    """Record the gradient of every task's loss at a snapshot: `task_gradients`, dims (visit, task, element).

    The model is in evaluation mode; nothing of the run is touched, `parameter.grad` included.

    Parameters
    ----------
    every : int
        Record at visit 0 and then once in this many visits.
    select : str or sequence of str, optional
        Globs over `named_parameters()` names; all of them if None.
    """

    def __init__(self, every: int = 1, select: Selection = None) -> None:
        self._cadence = every_visits(every)
        self._selection = select

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare a row per chosen visit, with an entry for every task."""
        parameters = select_parameters(run.model, self._selection)
        self._run, self._trace = run, trace
        self._parameters = list(parameters.values())
        self._rows = Rows(
            TASK_GROUP,
            fields_of(parameters),
            run.plan.chosen(self._cadence),
            middle=("task", run.tasks.names),
            dtype=row_dtype(self._parameters),
            attributes={"long_name": "gradient of the loss of every task", "units": UNITS},
        )
        trace.declare_rows(self._rows)

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Take the gradients."""
        if not self._cadence(visit.number):
            return
        row = np.empty(self._rows.row_shape, self._rows.dtype)
        with undisturbed(self._run.model):
            for task, part in enumerate(row):
                copy_into(part, self._gradients(task), [field.size for field in self._rows.fields])
        self._trace.put_row(TASK_GROUP, visit.number, row)

    def stop(self) -> None:
        """Let go of the run."""
        self._parameters = []
        vars(self).pop("_run", None)

    def _gradients(self, task: int) -> tuple[torch.Tensor | None, ...]:
        loss = self._run.tasks.loss(self._run.model, task)
        return torch.autograd.grad(loss, self._parameters, allow_unused=True)
