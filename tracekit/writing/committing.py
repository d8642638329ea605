"""Committing a visit: all of it durable, then the marker; and what happens where the store refuses."""

from __future__ import annotations

import warnings
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_until_done
from functools import partial
from typing import Literal

from tracekit.errors import TraceError, TraceWarning, TraceWriteError
from tracekit.format.checkpoints import put_checkpoint
from tracekit.format.layout import GAPS, METADATA, group_metadata
from tracekit.format.marker import Marker, write_marker
from tracekit.writing.background import Background, Cargo, Failure, Job, failures_of
from tracekit.writing.batches import Batch, Checkpoint, EncodedSeries
from tracekit.writing.buffers import QUEUE_BYTES
from tracekit.writing.contents import Contents
from tracekit.writing.refusing import words
from tracekit.writing.starting import Beginning
from tracekit.writing.teams import Jointly, Team, leads

OnError = Literal["stop", "warn"]


class Committer:
    """Everything that was put and is not committed yet, and how far the trace is good.

    Visits are committed one after another in a thread of their own. Series, errors and warnings are touched
    by the thread of the training alone, at its next event; gaps and the marker by the committing one alone.

    Parameters
    ----------
    beginning : Beginning
        The trace: where it lies, the right to write it, and what is committed.
    contents : Contents
        What it is made of: rows, series and their coordinates.
    on_error, queue_bytes, team
        See `TraceWriter.create`. The leader of a team alone writes series and the marker, once all of them
        have their parts of the rows on the disk.
    """

    def __init__(
        self,
        beginning: Beginning,
        contents: Contents,
        *,
        on_error: OnError = "stop",
        queue_bytes: int = QUEUE_BYTES,
        team: Team | None = None,
    ) -> None:
        self.marker = beginning.marker
        self._team = team
        self._tried = beginning.marker  # it may be in place even if putting it failed
        self.background = Background(beginning.store, queue_bytes)
        self._store = beginning.store
        self._claim = beginning.claim
        self._contents = contents
        self._on_error = on_error
        self._checkpoints: list[Checkpoint] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tracekit-committer")
        self._under_way: deque[tuple[Batch, Future[None]]] = deque()
        self._lost: deque[str] = deque()
        self._error: TraceError | None = None
        self._given_up = False

    @property
    def n_planned(self) -> int | None:
        """Snapshots of the whole run, if that is known."""
        return self._contents.axes.n_planned

    def check(self) -> None:
        """Take note of what has happened in the background meanwhile; nobody waits.

        Raises
        ------
        TraceError
            If the store has refused something, and that is to stop the run; from then on, always.
        """
        if self._error is not None:
            raise self._error
        stop = self._on_error == "stop"
        self._settle(wait=False, stop=stop)
        failure = self.background.failed() if stop else None
        if failure is not None:
            self.refused(failure.error, stop=True)

    def put_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint with the next commit."""
        self._checkpoints.append(checkpoint)

    def commit(self, snapshots: int) -> None:
        """Make everything that was put durable, and then so many snapshots visible, in the background."""
        columns = (*self._contents.columns.values(), *self._contents.coordinates.values())
        series = [EncodedSeries(column, column.changed(), column.n_samples) for column in columns]
        batch = Batch(snapshots, self.background.handed_over(), series, self._checkpoints)
        self._checkpoints = []
        self.background.buffers.enter(batch.n_bytes)
        self._under_way.append((batch, self._thread.submit(self._write, batch)))

    def drain(self, *, stop: bool) -> None:
        """Wait until every commit is done.

        Raises
        ------
        TraceError
            If the store refuses, and that is to stop the run; else there is a `TraceWarning`.
        """
        if self._error is None:
            self._settle(wait=True, stop=stop)

    def finish(self, snapshots: int, *, stop: bool) -> None:
        """Wait until every commit is done, and try once more what the store has refused and may take now.

        Raises
        ------
        TraceError
            As `drain` does.
        """
        self.drain(stop=stop)
        if self._on_error == "warn" and self.marker.committed < snapshots:
            self.commit(snapshots)
            self.drain(stop=stop)

    def repeated(self) -> None:
        """Wait until what a resumed run gave once more has been compared.

        Raises
        ------
        TraceWriteError
            If it is not what was committed, or that cannot be read.
        """
        checkpoints, self._checkpoints = self._checkpoints, []
        with Jointly(self._team):
            jobs = (*self.background.handed_over(), *map(self._start_checkpoint, checkpoints))
            for failure in failures_of(jobs):
                self.refused(failure.error, stop=self._on_error == "stop" or failure.cargo.needed)

    def refused(self, error: OSError, *, stop: bool, then: str = "") -> None:
        """Say that the store refuses, and how far the trace is good."""
        committed = self.marker.committed
        of = f" of {self.n_planned}" if self.n_planned is not None else ""
        message = (
            f"{self._store.url}: {words(error)}; the trace is good up to visit {committed - 1} "
            f"({committed}{of} snapshots)"
        )
        if stop:
            self._error = TraceWriteError(message)
            raise self._error from error
        _warn(f"{message}{then}")

    def close(self) -> None:
        """Wait for what is under way, and forget what was put and never committed."""
        self._thread.shutdown(wait=True)
        self.background.close()

    def _settle(self, *, wait: bool, stop: bool) -> None:
        """Take note of the commits that are done, of all of them if told to wait."""
        while self._under_way and (wait or self._under_way[0][1].done()):
            batch, future = self._under_way.popleft()
            wait_until_done([future])
            while self._lost:
                _warn(self._lost.popleft())
            self._take_note(batch, future, stop)

    def _take_note(self, batch: Batch, future: Future[None], stop: bool) -> None:
        try:
            future.result()
        except OSError as error:
            self.refused(error, stop=stop, then="; the rest is tried again at the next visit")
        except TraceError as error:
            self._error = error
            raise
        else:
            for series in batch.series:
                series.column.written(series.n_samples)

    def _write(self, batch: Batch) -> None:
        """Write a batch, in the committing thread. After one that stops the run, none is written."""
        try:
            if not self._given_up:
                with Jointly(self._team):
                    self._claim.check()
                    self._wait_for(batch)
                self._mark_gaps()
                self._mark(batch.snapshots)
        except BaseException as error:
            self._given_up = self._on_error == "stop" or not isinstance(error, OSError)
            raise
        finally:
            self.background.buffers.leave(batch.n_bytes)

    def _mark(self, snapshots: int) -> None:
        marker = Marker(snapshots, self.marker.generation)
        before = {self.marker, self._tried}
        self._tried = marker
        if leads(self._team):
            write_marker(self._store, marker, before=before)
        self.marker = marker

    def _wait_for(self, batch: Batch) -> None:
        """Put the series and wait for all else; a lost row leaves a gap.

        A series stays in memory and is tried again, so its visits are not visible before it has been written.
        """
        series = map(self._start_series, batch.series if leads(self._team) else ())
        checkpoints = map(self._start_checkpoint, batch.checkpoints)
        failures = failures_of((*batch.rows, *series, *checkpoints))
        needed = [failure for failure in failures if self._on_error == "stop" or _is_needed(failure)]
        for failure in failures:
            if failure not in needed:
                self._lose(failure)
        if needed:
            raise needed[0].error
        if self._team is not None:
            self._store.sync()

    def _start_series(self, series: EncodedSeries) -> Job:
        return self.background.start_putting(Cargo(series.column.layout.key), series.objects)

    def _start_checkpoint(self, checkpoint: Checkpoint) -> Job:
        cargo = Cargo(f"checkpoint of visit {checkpoint.visit}", needed=False)
        put = partial(put_checkpoint, self._store, checkpoint.visit, checkpoint.objects)
        return self.background.start(cargo, put)

    def _lose(self, failure: Failure) -> None:
        """Note what is gone, and the gap that a row leaves."""
        if failure.cargo.row is not None:
            group, sample = failure.cargo.row
            self._contents.rows[group].gaps.add(sample)
        self._lost.append(
            f"{self._store.url}: {failure.cargo.name} could not be recorded: {words(failure.error)}"
        )

    def _mark_gaps(self) -> None:
        """Write which rows are missing, before the marker makes their visits visible."""
        for group, kind in self._contents.rows.items():
            gaps = sorted(kind.gaps)
            if gaps != kind.attributes.get(GAPS, []):
                attributes = {**kind.attributes, GAPS: gaps}
                self._store.put(f"{group}/{METADATA}", group_metadata(attributes))
                kind.attributes.update(attributes)


def _is_needed(failure: Failure) -> bool:
    return failure.cargo.row is None and failure.cargo.needed


def _warn(message: str) -> None:
    warnings.warn(message, TraceWarning, stacklevel=6)
