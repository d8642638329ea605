"""Gradients: of the updates as they are made, and of every task at a snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from recorders.base import TensorRecorder
from recorders.keeping import Keep, Kept
from recorders.selection import Selection, select_parameters
from recorders.tensors import fields_of, row_dtype
from recorders.undisturbed import undisturbed
from recorders.updates import UpdateChoice, Updates
from tracekit.cadence_forms import WhenForm
from tracekit.format.schema import Rows
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Update, Visit
from tracekit.writing.writer import TraceWriter

GROUP = "gradients"
TASK_GROUP = "task_gradients"
UNITS = "loss per unit of the parameter"
OF_ANY = {"long_name": "gradient of the update", "units": UNITS}
OF_FIRST = {"long_name": "gradient of the first update of the visit", "units": UNITS, "update_index": 0}


class GradientRecorder(TensorRecorder):
    """Record the gradients that updates use: `gradients`, dims (visit, element) or (update, element).

    A gradient is taken before its update, at the weights that the update changes, after clipping: it is what
    the optimizer sees. A parameter that the loss does not depend on has gradient zero. With `updates="first"`
    there is one row per visit: the row at visit v belongs to the visit that leads to snapshot v, and its
    gradient is taken at the weights of snapshot v - 1. Otherwise there is one row per update.

    Parameters
    ----------
    every, when, keep
        At which visits and in which form; see `recorders.base.TensorRecorder`.
    select : optional
        Which parameters, see `recorders.selection.Selection`; all of them if None.
    updates : {"first", "all"} or sequence of int
        Which updates of a recorded visit: the first, all of them, or those of the given indices, from 0.
    """

    def __init__(
        self,
        every: int | None = None,
        select: Selection = None,
        when: WhenForm | None = None,
        keep: Keep = "full",
        *,
        updates: Updates = "first",
    ) -> None:
        super().__init__(every, when, keep)
        self._selection = select
        self._updates = UpdateChoice(updates)

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare one row per chosen visit that trains something, or per chosen update."""
        parameters = select_parameters(run.model, self._selection)
        self._parameters = list(parameters.values())
        visits, updates = self._updates.samples(run.plan, self._visits(run.plan))
        rows = Rows(
            GROUP,
            fields_of(parameters),
            visits,
            dtype=row_dtype(self._parameters),
            phase="before update",
            attributes=OF_FIRST if updates is None else OF_ANY,
            updates=updates,
        )
        self._kept = Kept(self._keep, run, trace, rows)

    def before_update(self, update: Update) -> None:
        """Copy the gradients: the optimizer and the next backward pass change them in place."""
        if update in self._updates and self._fires(update.visit.number):
            gradients = [parameter.grad for parameter in self._parameters]
            self._kept.put(self._updates.number(update), gradients)

    def stop(self) -> None:
        """Let go of the parameters."""
        super().stop()
        self._parameters = []


class TaskGradientRecorder(TensorRecorder):
    """Record the gradient of every task's loss at a snapshot: `task_gradients`, dims (visit, task, element).

    The model is in evaluation mode; nothing of the run is touched, `parameter.grad` included. Parameters that
    are frozen have their gradient too: it says where they would go.

    Parameters
    ----------
    every, when, keep
        At which visits and in which form; see `recorders.base.TensorRecorder`.
    select : optional
        Which parameters, see `recorders.selection.Selection`; all of them if None.
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
        """Declare a row per chosen visit, with an entry for every task."""
        parameters = select_parameters(run.model, self._selection)
        self._run = run
        self._parameters = list(parameters.values())
        rows = Rows(
            TASK_GROUP,
            fields_of(parameters),
            self._visits(run.plan),
            middle=("task", run.tasks.names),
            dtype=row_dtype(self._parameters),
            attributes={"long_name": "gradient of the loss of every task", "units": UNITS},
        )
        self._kept = Kept(self._keep, run, trace, rows)

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Take the gradients."""
        if self._fires(visit.number):
            tasks = range(len(self._run.tasks.names))
            with undisturbed(self._run.model):
                self._kept.put_parts(visit.number, (self._gradients(task) for task in tasks))

    def stop(self) -> None:
        """Let go of the run."""
        super().stop()
        self._parameters = []
        vars(self).pop("_run", None)

    def _gradients(self, task: int) -> tuple[torch.Tensor | None, ...]:
        with _all_differentiable(self._parameters):
            loss = self._run.tasks.loss(self._run.model, task)
            return torch.autograd.grad(loss, self._parameters, allow_unused=True)


@contextmanager
def _all_differentiable(parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
    """Let frozen parameters have gradients, and freeze them again."""
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
