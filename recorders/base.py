"""A recorder that does nothing: override what you need."""

from __future__ import annotations

from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Update, Visit
from tracekit.writer import TraceWriter


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
