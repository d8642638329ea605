"""Norms of the gradients of all parameters together, of every update."""

from __future__ import annotations

import numpy as np
import torch

from recorders.base import BaseRecorder
from recorders.statistics import norms
from tracekit.format.schema import Series
from tracekit.protocols import Run
from tracekit.schedule import Update
from tracekit.writing.writer import TraceWriter

GROUP = "gradient_norms"


class GradientNormRecorder(BaseRecorder):
    r"""Record the norm of the gradient of every update, before and after it was clipped: `gradient_norms`.

    .. math:: \lVert g \rVert = \sqrt{\textstyle\sum_p \lVert g_p \rVert^2}

    - `gradient_norm` (update): of what the optimizer sees, over all parameters of the model.
    - `unclipped_gradient_norm` (update): of the same before clipping; equal to it where nothing was clipped,
      and NaN where that is not known, as in a loop of one's own that does not tell (`LoopTrace.clipped`).
    """

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare the series."""
        self._trace = trace
        self._parameters = list(run.model.parameters())
        trace.declare_series(
            [
                Series(GROUP, "gradient_norm", "update", long_name="norm of the gradient of the update"),
                Series(GROUP, "unclipped_gradient_norm", "update", long_name="norm before clipping"),
            ]
        )

    def before_update(self, update: Update) -> None:
        """Take the norm of the gradients that are there."""
        seen = gradient_norm([p.grad for p in self._parameters if p.grad is not None])
        self._trace.put(GROUP, "gradient_norm", seen)
        unclipped = seen if update.clipped_from is None else update.clipped_from
        self._trace.put(GROUP, "unclipped_gradient_norm", unclipped)

    def stop(self) -> None:
        """Let go of the parameters."""
        self._parameters = []


def gradient_norm(gradients: list[torch.Tensor]) -> float:
    """Give the norm of all gradients together; squares are added in float64.

    Examples
    --------
    >>> gradient_norm([torch.tensor([3.0]), torch.tensor([[4.0]])])
    5.0
    """
    wide = [g if g.dtype in (torch.float32, torch.float64) else g.float() for g in gradients]
    return float(np.linalg.norm(norms(wide))) if wide else 0.0
