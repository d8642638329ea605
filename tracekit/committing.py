"""Committing a visit: all of it durable, then the marker; and what happens where the store refuses."""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from tracekit.background import Background, Cargo, Failure
from tracekit.columns import Column
from tracekit.errors import TraceError, TraceWarning, TraceWriteError
from tracekit.layout import GAPS, METADATA, ArrayLayout, group_metadata
from tracekit.marker import Marker, write_marker
from tracekit.schema import Rows
from tracekit.store import Store

OnError = Literal["stop", "warn"]


@dataclass
class DeclaredRows:
    """A kind of tensors being written.

    Parameters
    ----------
    rows, layout
        What they are, and how they lie.
    attributes : dict
        Those of the group, as they are in the store.
    row_of, visit_of : dict
        Where the row of each sample lies, and the visit it belongs to. A sample is a visit or an update.
    gaps, put : set of int
        Samples whose rows were lost, and samples whose rows were handed over.
    """

    rows: Rows
    layout: ArrayLayout
    attributes: dict[str, Any]
    row_of: dict[int, int] = field(init=False)
    visit_of: dict[int, int] = field(init=False)
    gaps: set[int] = field(init=False)
    put: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        samples = self.rows.samples
        self.row_of = {sample: row for row, sample in enumerate(samples)}
        self.visit_of = dict(zip(samples, self.rows.visits, strict=True))
        self.gaps = set(self.attributes.get(GAPS, []))

    def missing(self, visit: int) -> list[int]:
        """Give the samples of a visit that were to be put, and were not."""
        first, last = (find(self.rows.visits, visit) for find in (bisect_left, bisect_right))
        return [sample for sample in self.rows.samples[first:last] if sample not in self.put]


class Committer:
    """Everything that was put and is not committed yet, and how far the trace is good.

    Parameters
    ----------
    store : Store
        Where the trace lies.
    marker : Marker
        What is committed.
    n_planned : int or None
        Snapshots of the whole run, if that is known.
    on_error : {"stop", "warn"}
        See `TraceWriter.create`.
    """

    def __init__(self, store: Store, marker: Marker, *, n_planned: int | None, on_error: OnError) -> None:
        self.marker = marker
        self._tried = marker  # it may be in place even if putting it failed
        self.rows: dict[str, DeclaredRows] = {}
        self.columns: dict[str, Column] = {}
        self.coordinates: dict[str, Column] = {}
        self.background = Background(store)
        self._store = store
        self._n_planned = n_planned
        self._on_error = on_error

    def commit(self, snapshots: int) -> None:
        """Make everything durable, and so many snapshots visible.

        Raises
        ------
        TraceWriteError
            If the store refuses, and that is to stop the run; else there is a `TraceWarning`.
        """
        try:
            self._write(snapshots)
        except OSError as error:
            self.refused(
                error, stop=self._on_error == "stop", then="; the rest is tried again at the next visit"
            )

    def repeated(self) -> None:
        """Wait until what a resumed run gave once more has been compared.

        Raises
        ------
        TraceWriteError
            If it is not what was committed, or that cannot be read.
        """
        for failure in self.background.wait():
            self.refused(failure.error, stop=self._on_error == "stop" or failure.cargo.needed)

    def refused(self, error: OSError, *, stop: bool, then: str = "") -> None:
        """Say that the store refuses, and how far the trace is good."""
        committed = self.marker.committed
        of = f" of {self._n_planned}" if self._n_planned is not None else ""
        message = (
            f"{self._store.url}: {_words(error)}; the trace is good up to visit {committed - 1} "
            f"({committed}{of} snapshots)"
        )
        if stop:
            raise TraceWriteError(message) from error
        _warn(f"{message}{then}")

    def _write(self, snapshots: int) -> None:
        for key, column in (*self.columns.items(), *self.coordinates.items()):
            self.background.put(Cargo(key), column.changed())
        needed = [failure for failure in self.background.wait() if self._is_needed(failure)]
        if needed:
            raise needed[0].error
        self._mark_gaps()
        marker = Marker(snapshots, self.marker.generation)
        before = {self.marker, self._tried}
        self._tried = marker
        write_marker(self._store, marker, before=before)
        self.marker = marker

    def _is_needed(self, failure: Failure) -> bool:
        """Say whether the commit must fail; if not, warn, and note the gap that a lost row leaves.

        A series stays in memory and is tried again, so its visits are not visible before it has been written.
        """
        cargo = failure.cargo
        if self._on_error == "stop" or (cargo.row is None and cargo.needed):
            return True
        if cargo.row is not None:
            group, sample = cargo.row
            self.rows[group].gaps.add(sample)
        _warn(f"{self._store.url}: {cargo.name} could not be recorded: {_words(failure.error)}")
        return False

    def _mark_gaps(self) -> None:
        """Write which rows are missing, before the marker makes their visits visible."""
        for group, kind in self.rows.items():
            gaps = sorted(kind.gaps)
            if gaps != kind.attributes.get(GAPS, []):
                attributes = {**kind.attributes, GAPS: gaps}
                self._store.put(f"{group}/{METADATA}", group_metadata(attributes))
                kind.attributes.update(attributes)


@contextmanager
def refusals(store: Store) -> Iterator[None]:
    """Turn what a store refuses before anything can be committed into a `TraceWriteError`."""
    try:
        yield
    except TraceError:
        raise
    except OSError as error:
        raise TraceWriteError(f"{store.url}: {_words(error)}; the recording could not be set up") from error


def _words(error: OSError) -> str:
    return error.strerror or str(error)


def _warn(message: str) -> None:
    warnings.warn(message, TraceWarning, stacklevel=6)
