"""Record what a Lightning Trainer trains."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

from recorders.loop import record
from recorders.loop_trace import LoopTrace
from recorders.visiting import TaskOf, Visiting, Visits
from tracekit.errors import ConfigurationError
from tracekit.protocols import Recorder

try:
    from lightning.pytorch.callbacks import Callback
except ImportError as error:
    raise ImportError(
        "recorders.lightning_callback needs the package `lightning`, which is not installed: "
        "pip install lightning"
    ) from error


class TraceCallback(Callback):
    """Records a `lightning.Trainer` into a trace, with automatic or manual optimization.

    The train loss is what was propagated backwards for the update, added up over the parts of an
    accumulated batch.

    Parameters
    ----------
    path : str or path
        Where the trace will lie, a path or URL.
    recorders : sequence of Recorder
        What is recorded.
    visit : int, "epoch" or "task"
        What a visit is: so many updates, an epoch, or a stretch of batches of one task.
    task_of : callable, optional
        Gives the task of a batch, by number or name.
    optimizer : int
        Which optimizer's updates are recorded, where the module has several.
    settings
        `tasks`, `plan`, `evaluation`, `configuration`, `resume` and the others of `recorders.record`.

    Examples
    --------
    >>> import tempfile
    >>> from recorders import WeightRecorder
    >>> path = tempfile.mkdtemp() + "/run.zarr"
    >>> callback = TraceCallback(path, recorders=[WeightRecorder()], visit=100)

    and then `Trainer(..., callbacks=[callback])`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        recorders: Sequence[Recorder],
        visit: Visits = "epoch",
        task_of: TaskOf | None = None,
        optimizer: int = 0,
        **settings: Any,
    ) -> None:
        self._path = path
        self._settings: dict[str, Any] = {"recorders": recorders, **settings}
        self._visiting = Visiting(visit, task_of)
        self._optimizer = optimizer
        self._trace: LoopTrace | None = None

    def on_train_start(self, trainer: Any, pl_module: torch.nn.Module) -> None:
        """Make the trace, and take the first snapshot."""
        optimizers = trainer.optimizers
        if self._optimizer >= len(optimizers):
            raise ConfigurationError(
                f"optimizer: expected one of the {len(optimizers)} of the module, found {self._optimizer}"
            )
        chosen = optimizers[self._optimizer]
        self._trace = record(pl_module, chosen, self._path, **self._settings).__enter__()

    def on_train_epoch_start(self, trainer: Any, pl_module: torch.nn.Module) -> None:
        """Take note of the epoch."""
        self._visiting.epoch_begins(trainer.current_epoch)

    def on_train_batch_start(
        self, trainer: Any, pl_module: torch.nn.Module, batch: Any, batch_idx: int
    ) -> None:
        """Look at the batch."""
        if self._trace is not None:
            self._visiting.batch_begins(self._trace, batch)

    def on_before_backward(self, trainer: Any, pl_module: torch.nn.Module, loss: torch.Tensor) -> None:
        """Hand over the loss."""
        if self._trace is not None:
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            self._trace.loss(loss.detach() / scaler.get_scale() if scaler is not None else loss)

    def on_train_batch_end(
        self, trainer: Any, pl_module: torch.nn.Module, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End the visit, if it had all its updates."""
        if self._trace is not None:
            self._visiting.batch_ends(self._trace)

    def on_train_epoch_end(self, trainer: Any, pl_module: torch.nn.Module) -> None:
        """End the visit, if that is the epoch."""
        if self._trace is not None:
            self._visiting.epoch_ends(self._trace)

    def on_train_end(self, trainer: Any, pl_module: torch.nn.Module) -> None:
        """End what is left, and close the trace."""
        if self._trace is not None:
            self._visiting.training_ends(self._trace)
        self._close(None)

    def on_exception(self, trainer: Any, pl_module: torch.nn.Module, exception: BaseException) -> None:
        """Close the trace, which keeps every visit that was committed."""
        self._close(exception)

    def _close(self, error: BaseException | None) -> None:
        trace, self._trace = self._trace, None
        if trace is not None:
            trace.__exit__(type(error) if error is not None else None, error, None)
