"""What a language model predicts on probe tasks, at snapshots."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from recorders.base import TensorRecorder
from recorders.keeping import Keep, Kept
from recorders.probes import chosen_probes, method_of_tasks
from recorders.tensors import row_dtype
from recorders.undisturbed import undisturbed
from tracekit.cadence_forms import WhenForm
from tracekit.format.schema import Field, Rows
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Visit
from tracekit.writing.writer import TraceWriter

GROUP = "logits"


class LogitRecorder(TensorRecorder):
    """Record the logits of probe tasks: `logits`, with `logits` (visit, probe, token, vocabulary_<size>).

    For tasks that are sequences of tokens. The logits at token k say what is predicted for token k + 1.
    Shorter probes are padded with NaN. The model is in evaluation mode.

    Parameters
    ----------
    probes : sequence of int, optional
        Numbers of the tasks to probe with; the first four (or all, if fewer) if None.
    every, when, keep
        At which visits and in which form; see `recorders.base.TensorRecorder`.
    """

    def __init__(
        self,
        probes: Sequence[int] | None = None,
        *,
        every: int | None = None,
        when: WhenForm | None = None,
        keep: Keep = "full",
    ) -> None:
        super().__init__(every, when, keep)
        self._probes = probes

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Run the probes once to learn the shapes, and declare a row per chosen visit."""
        self._logits = method_of_tasks(run, "logits", GROUP)
        self._model = run.model
        self._tasks = chosen_probes(run, self._probes, GROUP)
        found = [self._look(task) for task in self._tasks]
        self._n_tokens = max(len(logits) for logits in found)
        shape = (self._n_tokens, found[0].shape[1])
        dtype = row_dtype(found)
        rows = Rows(
            GROUP,
            (Field("logits", shape, str(found[0].dtype).removeprefix("torch."), ("token", "vocabulary")),),
            self._visits(run.plan),
            middle=("probe", tuple(run.tasks.names[task] for task in self._tasks)),
            dtype=dtype,
            labels={"token": tuple(str(place) for place in range(self._n_tokens))},
            attributes={"long_name": "logits of what follows each token"},
        )
        self._kept = Kept(self._keep, run, trace, rows)

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Run the probes."""
        if self._fires(visit.number):
            self._kept.put_parts(visit.number, ([self._padded(self._look(task))] for task in self._tasks))

    def stop(self) -> None:
        """Let go of the run."""
        super().stop()
        vars(self).pop("_model", None)
        vars(self).pop("_logits", None)

    def _look(self, task: int) -> torch.Tensor:
        """Give the logits of one task, dims (token, vocabulary)."""
        with undisturbed(self._model), torch.no_grad():
            logits: torch.Tensor = self._logits(self._model, task)
        return logits

    def _padded(self, logits: torch.Tensor) -> torch.Tensor:
        missing = self._n_tokens - len(logits)
        return torch.nn.functional.pad(logits, (0, 0, 0, missing), value=float("nan"))
