"""What an optimizer remembers of earlier gradients, at snapshots: momentum, Adam's moments."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from recorders.base import TensorRecorder
from recorders.keeping import Keep, Kept
from recorders.selection import Selection, select_parameters
from recorders.steps import innermost
from recorders.tensors import fields_of, row_dtype
from tracekit.cadence_forms import WhenForm
from tracekit.errors import ConfigurationError
from tracekit.format.schema import Rows
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Visit
from tracekit.writing.writer import TraceWriter

PREFIX = "optimizer_"
UNITS = {
    "momentum_buffer": "loss per unit of the parameter",
    "exp_avg": "loss per unit of the parameter",
    "exp_avg_sq": "(loss per unit of the parameter)²",
    "max_exp_avg_sq": "(loss per unit of the parameter)²",
}


class OptimizerStateRecorder(TensorRecorder):
    """Record the state of an optimizer, one kind each: `optimizer_exp_avg`, …, dims (visit, element).

    SGD has `momentum_buffer`, Adam and AdamW have `exp_avg` and `exp_avg_sq` (the moments, not corrected for
    bias), and with `amsgrad` `max_exp_avg_sq`. Tensors go by the names of their parameters. What does not
    exist yet, such as everything before the first update, is zero: that is what the optimizer begins with.

    Parameters
    ----------
    select : optional
        Of which parameters, see `recorders.selection.Selection`; of all that the optimizer trains if None.
    states : sequence of str, optional
        Names of the states, as in `optimizer.state[parameter]`; those listed above if None. Optimizers of
        other kinds need it.
    every, when, keep
        At which visits and in which form; see `recorders.base.TensorRecorder`.
    """

    def __init__(
        self,
        select: Selection = None,
        states: Sequence[str] | None = None,
        *,
        every: int | None = None,
        when: WhenForm | None = None,
        keep: Keep = "full",
    ) -> None:
        super().__init__(every, when, keep)
        self._selection = select
        self._states = states

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare, for each state, one row per chosen visit."""
        self._optimizer = innermost(run.optimizer)
        trained = {id(p) for group in self._optimizer.param_groups for p in group["params"]}
        chosen = select_parameters(run.model, self._selection)
        parameters = {name: parameter for name, parameter in chosen.items() if id(parameter) in trained}
        if not parameters:
            raise ConfigurationError("optimizer_state: select: the optimizer trains none of these parameters")
        self._parameters = list(parameters.values())
        visits = self._visits(run.plan)
        self._rows_of: dict[str, Kept] = {}
        for state in self._states or states_of(self._optimizer):
            rows = Rows(
                PREFIX + state,
                fields_of(parameters),
                visits,
                dtype=row_dtype(self._parameters),
                attributes={"long_name": f"{state} of the optimizer", "units": UNITS.get(state, "1")},
            )
            self._rows_of[state] = Kept(self._keep, run, trace, rows)

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Copy the state."""
        if self._fires(visit.number):
            for state, kept in self._rows_of.items():
                kept.put(visit.number, [self._state(parameter, state) for parameter in self._parameters])

    def stop(self) -> None:
        """Let go of the optimizer."""
        super().stop()
        self._parameters = []
        self._rows_of = {}
        vars(self).pop("_optimizer", None)

    def _state(self, parameter: torch.Tensor, state: str) -> torch.Tensor | None:
        found: torch.Tensor | None = self._optimizer.state.get(parameter, {}).get(state)
        if found is not None and found.shape != parameter.shape:
            raise ConfigurationError(
                f"optimizer_state: states: {state!r} has shape {tuple(found.shape)} for a parameter of shape "
                f"{tuple(parameter.shape)}; choose states that have a value for every element"
            )
        return found


def states_of(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """Give the names of the states that an optimizer keeps for every element of a parameter.

    Raises
    ------
    ConfigurationError
        If it keeps none, or is of a kind that is not known.

    Examples
    --------
    >>> states_of(torch.optim.Adam([torch.zeros(1)]))
    ('exp_avg', 'exp_avg_sq')
    """
    groups = optimizer.param_groups
    if isinstance(optimizer, torch.optim.SGD):
        if any(group["momentum"] for group in groups):
            return ("momentum_buffer",)
        raise ConfigurationError(
            "optimizer_state: SGD without momentum keeps none; leave this recorder out, or set momentum"
        )
    if isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW):
        largest = ("max_exp_avg_sq",) if any(group["amsgrad"] for group in groups) else ()
        return ("exp_avg", "exp_avg_sq", *largest)
    raise ConfigurationError(
        f"optimizer_state: what {type(optimizer).__name__} keeps is not known; name it, as in "
        "states: [exp_avg]"
    )
