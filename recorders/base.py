"""What recorders begin from: one that does nothing, and one that keeps tensors at some visits."""

from __future__ import annotations

from recorders.keeping import Keep
from tracekit.cadence_forms import WhenForm, parse_when
from tracekit.cadences import cadence_over
from tracekit.errors import ConfigurationError
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Plan, Update, Visit
from tracekit.writing.writer import TraceWriter


class BaseRecorder:
    """Does nothing at every event; see `tracekit.protocols.Recorder` for when each is called."""

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare arrays and install hooks."""

    def before_update(self, update: Update) -> None:
        """See gradients in place, and weights not yet changed."""

    def after_update(self, update: Update, train_loss: float) -> None:
        """See weights changed."""

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """See a snapshot."""

    def stop(self) -> None:
        """Remove hooks, and let go of the run."""


class TensorRecorder(BaseRecorder):
    """Records tensors at some visits, in one form or several: what all such recorders have in common.

    Parameters
    ----------
    every : int, optional
        Record once in this many visits; the short way to write `when`.
    when
        At which visits: see `tracekit.cadence_forms.parse_when`. Every visit if neither is given. The first
        and the last snapshot are always recorded.
    keep
        In which form: see `recorders.keeping.parse_keep`.
    """

    def __init__(self, every: int | None = None, when: WhenForm | None = None, keep: Keep = "full") -> None:
        if every is not None and when is not None:
            raise ConfigurationError("every, when: expected one of them, found both; `when` takes every: too")
        self._when = parse_when(when if when is not None else every if every is not None else 1)
        self._keep = keep

    def _visits(self, plan: Plan) -> tuple[int, ...]:
        """Give the visits at which something is recorded; `_fires` says so of each as it comes."""
        self._fires = cadence_over(self._when, plan)
        return plan.chosen(self._fires)

    def stop(self) -> None:
        """Let go of what forms hold on to."""
        vars(self).pop("_kept", None)
