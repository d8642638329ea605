"""Losses of single tokens, at snapshots."""

from __future__ import annotations

import torch

from recorders.base import TensorRecorder
from recorders.keeping import Kept
from recorders.probes import method_of_tasks
from recorders.undisturbed import undisturbed
from tracekit.format.schema import Field, Rows
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Visit
from tracekit.writing.writer import TraceWriter

GROUP = "token_losses"


class TokenLossRecorder(TensorRecorder):
    """Record the loss of every token of every task: `token_losses`, with `loss` (visit, task, token).

    For tasks that are sequences of tokens. `token` is the place in the sequence of the token that is
    predicted, from 1: nothing predicts the first. Shorter sequences are padded with NaN; the mean over the
    others is `eval_loss`. Costs one evaluation of all tasks at each chosen snapshot.

    Parameters
    ----------
    every, when, keep
        At which visits and in which form; see `recorders.base.TensorRecorder`.
    """

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Evaluate once to learn how long sequences are, and declare a row per chosen visit."""
        self._token_losses = method_of_tasks(run, "token_losses", GROUP)
        self._model = run.model
        n_tokens = self._look().shape[1]
        rows = Rows(
            GROUP,
            (Field("loss", (n_tokens,), axes=("token",)),),
            self._visits(run.plan),
            middle=("task", run.tasks.names),
            labels={"token": tuple(str(place) for place in range(1, n_tokens + 1))},
            attributes={"long_name": "loss of every token", "units": "nats"},
        )
        self._kept = Kept(self._keep, run, trace, rows)

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Evaluate all tasks."""
        if self._fires(visit.number):
            self._kept.put_parts(visit.number, ([losses] for losses in self._look()))

    def stop(self) -> None:
        """Let go of the run."""
        super().stop()
        vars(self).pop("_model", None)
        vars(self).pop("_token_losses", None)

    def _look(self) -> torch.Tensor:
        """Give the losses, dims (task, token)."""
        with undisturbed(self._model), torch.no_grad():
            losses: torch.Tensor = self._token_losses(self._model)
        return losses.float()
