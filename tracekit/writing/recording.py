"""Drive recorders through a run, and commit each visit when all of them have seen it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from tracekit.errors import ConfigurationError, TraceWriteError
from tracekit.format.codecs import CodecName
from tracekit.protocols import Evaluation, Recorder, Run
from tracekit.schedule import Update, Visit
from tracekit.store import Durability
from tracekit.writing.buffers import QUEUE_BYTES
from tracekit.writing.committing import OnError
from tracekit.writing.ending import Status
from tracekit.writing.estimate import planned_kinds
from tracekit.writing.measuring import COMMIT, MEASURES, SERIES, Stopwatch, names_of
from tracekit.writing.teams import Jointly, Team
from tracekit.writing.writer import TraceWriter


class Recording:
    """Record a run into a new trace: an observer for the trainer.

    Parameters
    ----------
    path : str or path
        Where the trace will lie, a path or URL.
    recorders : sequence of Recorder
        What is recorded.
    overwrite : bool
        Replace a trace that is there, once every recorder has said what it will write: one that cannot
        record the run leaves the old trace as it was.
    resume : bool
        Go on with the trace of a run that was cut off; see `TraceWriter.resume`, and for the run itself
        `tracekit.training.restore`.
    codec, durability, on_error, force_claim, queue_bytes, team
        See `TraceWriter.create`.

    Raises
    ------
    TraceExistsError
        From `start`, if there is something at the path already.
    TraceWriteError
        From `start`, if another process writes the trace, or it is not one that this run can go on with.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        recorders: Sequence[Recorder],
        *,
        overwrite: bool = False,
        resume: bool = False,
        codec: CodecName = "lz4",
        durability: Durability = "fsync",
        on_error: OnError = "stop",
        force_claim: bool = False,
        queue_bytes: int = QUEUE_BYTES,
        team: Team | None = None,
    ) -> None:
        self.path = path
        self._team = team
        self._recorders = tuple(_checked(recorder) for recorder in recorders)
        self._settings: dict[str, Any] = {
            "codec": codec,
            "durability": durability,
            "on_error": on_error,
            "force_claim": force_claim,
            "queue_bytes": queue_bytes,
        }
        self._overwrite = overwrite
        self._resume = resume
        self._trace: TraceWriter | None = None
        self._stopwatch = Stopwatch(len(self._recorders) + 1)
        self._measured = False
        self._kinds: tuple[str, ...] = ()
        self._n_updates = 0
        self._snapshots = 0

    def __reduce__(self) -> NoReturn:
        raise TraceWriteError(
            f"{self.path}: a recording belongs to one process and cannot be pickled or copied; make it in "
            "the process that trains"
        )

    @property
    def n_updates(self) -> int:
        """Updates of the run so far, those before it was resumed included."""
        return self._n_updates

    @property
    def snapshots(self) -> int:
        """Snapshots that the run has behind it."""
        return self._snapshots

    def start(self, run: Run) -> None:
        """Make the trace or take it up, and let every recorder declare what it will write.

        Raises
        ------
        TraceWriteError
            If it is recording already.
        """
        if self._trace is not None:
            raise TraceWriteError(f"{self._trace.url}: is being recorded already; finish first")
        settings = {"attributes": describe(run), **self._settings}
        if self._team is not None:
            settings["team"] = self._team
        if self._resume:
            self._trace = TraceWriter.resume(self.path, run.plan, snapshots=run.snapshots, **settings)
        else:
            if self._overwrite:
                self._rehearse(run)
            self._trace = TraceWriter.create(self.path, run.plan, overwrite=self._overwrite, **settings)
        self._n_updates, self._snapshots = self._trace.n_updates, self._trace.snapshots
        with Jointly(self._team):
            for recorder in self._recorders:
                recorder.start(run, self._trace)
            self._declare_measures(self._trace)

    def before_update(self, update: Update) -> None:
        """Pass it on."""
        self._check()
        for place, recorder in enumerate(self._recorders):
            with self._stopwatch.running(place, self._waited):
                recorder.before_update(update)

    def after_update(self, update: Update, train_loss: float) -> None:
        """Pass it on."""
        self._check()
        self._n_updates = update.number + 1
        for place, recorder in enumerate(self._recorders):
            with self._stopwatch.running(place, self._waited):
                recorder.after_update(update, train_loss)

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Pass it on, then commit the visit, in the background."""
        self._check()
        for place, recorder in enumerate(self._recorders):
            with self._stopwatch.running(place, self._waited):
                recorder.after_visit(visit, evaluation)
        if self._trace is not None:
            self._put_measures(self._trace)
            with self._stopwatch.running(len(self._recorders), self._waited):
                self._trace.commit(visit, self._n_updates, wait=False)

    def finish(self, error: BaseException | None) -> None:
        """Remove all hooks and close the trace, which keeps every committed visit. May be called twice."""
        trace, self._trace = self._trace, None
        with contextlib.ExitStack() as cleanup:
            if trace is not None:
                cleanup.callback(trace.close, _status(error))
            for recorder in self._recorders:
                cleanup.callback(recorder.stop)

    def _rehearse(self, run: Run) -> None:
        """Let recorders refuse the run while the trace that is to be replaced is still there."""
        with Jointly(self._team):
            planned_kinds(run, self._recorders)

    def _declare_measures(self, trace: TraceWriter) -> None:
        """Let recorders be measured; a trace that was begun without it is resumed without it."""
        self._measured = trace.may_have(MEASURES) and bool(self._recorders)
        if self._measured:
            self._kinds = trace.kinds
            labels = {"recorder": [*names_of(self._recorders), COMMIT], "kind": self._kinds}
            trace.declare_series([each for each in SERIES if labels[each.dims[0]]], labels=labels)

    def _put_measures(self, trace: TraceWriter) -> None:
        if not self._measured:
            return
        seconds, n_bytes = trace.written.taken(self._kinds)
        times = [_milliseconds(each) for each in (*self._stopwatch.taken(), seconds)]
        for series, values in zip(SERIES, (*times, n_bytes), strict=True):
            if values:
                trace.put(series.group, series.name, values)

    def _waited(self) -> float:
        return self._trace.waited_seconds() if self._trace is not None else 0.0

    def _check(self) -> None:
        """Raise what has gone wrong in the background, or that this is a fork of the process that records."""
        if self._trace is not None:
            self._trace.check()


def _checked(recorder: Recorder) -> Recorder:
    if isinstance(recorder, type) or not (hasattr(recorder, "start") and hasattr(recorder, "stop")):
        called = f"; write {recorder.__name__}(…)" if isinstance(recorder, type) else ""
        raise ConfigurationError(f"recorders: expected objects that record, found {recorder!r}{called}")
    return recorder


def _milliseconds(seconds: Sequence[float]) -> list[float]:
    return [1e3 * each for each in seconds]


def describe(run: Run) -> Mapping[str, Any]:
    """Give the facts about a run that a later reader needs, as JSON has them."""
    training = run.configuration.get("training", {})
    return {
        "configuration": dict(run.configuration),
        "order": training.get("order", "unknown"),
        "task_fingerprints": dict(run.tasks.fingerprints),
        "model_signature": _signature(run.model),
    }


def _signature(model: Any) -> dict[str, str]:
    """Give type and shape of every parameter, by name; empty for what has no named parameters."""
    named: dict[str, Any] = dict(getattr(model, "named_parameters", dict)())
    return {name: f"{str(p.dtype).removeprefix('torch.')}{list(p.shape)}" for name, p in named.items()}


def _status(error: BaseException | None) -> Status:
    if error is None:
        return "complete"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
