"""Record what the Trainer of Hugging Face transformers trains."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import torch

from recorders.loop import record
from recorders.loop_trace import LoopTrace
from recorders.visiting import TaskOf, Visiting, Visits
from tracekit.protocols import Recorder

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError(
        "recorders.transformers_callback needs the package `transformers`: pip install 'tracekit-ml[train]'"
    ) from error


class TraceCallback(TrainerCallback):
    """Records a `transformers.Trainer` into a trace, which ends with the training.

    The train loss is the one that the model's output has, added up over the parts of an accumulated batch as
    the Trainer adds it up. Used as a context manager around `trainer.train()`, it closes the trace after an
    exception too, of which the Trainer does not tell its callbacks.

    Parameters
    ----------
    path : str or path
        Where the trace will lie, a path or URL.
    recorders : sequence of Recorder
        What is recorded.
    visit : int, "epoch" or "task"
        What a visit is: so many updates, an epoch, or a stretch of batches of one task.
    task_of : callable, optional
        Gives the task of a batch, by number or name. A batch is the mapping that the model is called with.
    settings
        `tasks`, `plan`, `evaluation`, `configuration`, `resume` and the others of `recorders.record`.

    Examples
    --------
    >>> import tempfile
    >>> from recorders import WeightRecorder
    >>> path = tempfile.mkdtemp() + "/run.zarr"
    >>> callback = TraceCallback(path, recorders=[WeightRecorder()], visit=100)

    and then `Trainer(..., callbacks=[callback])`, and `with callback: trainer.train()`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        recorders: Sequence[Recorder],
        visit: Visits = "epoch",
        task_of: TaskOf | None = None,
        **settings: Any,
    ) -> None:
        self._path = path
        self._settings: dict[str, Any] = {"recorders": recorders, **settings}
        self._visiting = Visiting(visit, task_of)
        self._trace: LoopTrace | None = None
        self._losses = _Losses()
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        trace, self._trace = self._trace, None
        if trace is not None:
            trace.__exit__(kind, error, traceback)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make the trace, and take the first snapshot."""
        model = kwargs["model"]
        self._trace = record(model, kwargs["optimizer"], self._path, **self._settings).__enter__()
        self._handles = [
            model.register_forward_pre_hook(self._see_batch, with_kwargs=True),
            model.register_forward_hook(self._losses.see, with_kwargs=True),
        ]

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take note of the epoch."""
        self._visiting.epoch_begins(int(state.epoch or 0))

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Hand over the loss of all parts of the batch."""
        loss = self._losses.total()
        if self._trace is not None and loss is not None:
            self._trace.loss(loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the visit, if it had all its updates."""
        if self._trace is not None:
            self._visiting.batch_ends(self._trace)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the visit, if that is the epoch."""
        if self._trace is not None:
            self._visiting.epoch_ends(self._trace)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End what is left, and close the trace."""
        if self._trace is not None:
            self._visiting.training_ends(self._trace)
        self.__exit__(None, None, None)

    def _see_batch(self, model: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if self._trace is not None and model.training:
            self._visiting.batch_begins(self._trace, kwargs)


class _Losses:
    """The losses that a model gives while it trains, since the last step."""

    def __init__(self) -> None:
        self._seen: list[torch.Tensor] = []
        self._shares = False

    def see(self, model: torch.nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        """Keep the loss of an output, if it has one."""
        loss = output.get("loss") if hasattr(output, "get") else getattr(output, "loss", None)
        if model.training and loss is not None:
            self._seen.append(loss.detach())
            self._shares = kwargs.get("num_items_in_batch") is not None

    def total(self) -> torch.Tensor | None:
        """Give the loss of the whole batch, and forget its parts.

        A model that is told how many items the batch has gives the share of each part, to be added; else the
        Trainer takes the mean.
        """
        seen, self._seen = self._seen, []
        if not seen:
            return None
        added = torch.stack(seen).sum()
        return added if self._shares else added / len(seen)
