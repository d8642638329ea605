"""How far a trace reaches: its commit marker, and the place in time of every committed visit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from tracekit.errors import TraceError
from tracekit.format.checks import MAX_INTEGER, MalformedError, checking
from tracekit.format.copies import DECLARED, check_declared_keys
from tracekit.format.documents import read_document
from tracekit.format.layout import COMMIT_KEY, METADATA, TIMELINE, ArrayLayout, parse_array, read_layout
from tracekit.format.marker import Marker, require_marker
from tracekit.format.validation import TIMELINE_COORDS, UPDATES, check_column, check_numbers
from tracekit.reading.counts import PLANNED, is_open, room_for_snapshots
from tracekit.reading.stored import StoredSeries
from tracekit.store import Store
from tracekit.store.parallel import each

UNITS = {"wall_time_seconds": "s"}


@dataclass(frozen=True)
class Extent:
    """What of a trace a reader may see.

    Parameters
    ----------
    committed, generation : int
        The commit marker: snapshots committed, and how often the trace was rolled back.
    planned, updates_per_visit : int
        Snapshots that the trace has room for, and optimizer steps of each visit; 0 if they differ.
    declared : sequence of str
        The keys of the arrays that there must be; empty for traces that do not say.
    open_ended : bool
        Whether its end was not known when it was begun: see `tracekit.reading.counts`.
    timeline : mapping
        The columns of the timeline at the committed visits, by name; a visit is its own place in them.
    updates : array, optional
        Optimizer steps until the end of each committed visit, where visits have different numbers of them.
    damaged : mapping
        Why columns of the timeline are left out, by key.
    """

    committed: int
    generation: int
    planned: int
    updates_per_visit: int
    timeline: Mapping[str, npt.NDArray[Any]]
    damaged: Mapping[str, str] = field(default_factory=dict)
    open_ended: bool = False
    declared: tuple[str, ...] = ()
    updates: npt.NDArray[np.int64] | None = None

    @property
    def n_updates(self) -> int:
        """Optimizer steps that there can be."""
        return (self.planned - 1) * self.updates_per_visit or MAX_INTEGER

    def clip(self, visit_of_sample: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Leave out the samples from the first on whose visit is missing or not committed."""
        beyond = (visit_of_sample < 0) | (visit_of_sample >= self.committed)
        return visit_of_sample[: int(np.argmax(beyond))] if beyond.any() else visit_of_sample

    def update_index(
        self, update: npt.NDArray[np.int64], visit: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64] | None:
        """Count the steps before each of some, in its visit; None where the trace does not say."""
        if self.updates_per_visit:
            return update % self.updates_per_visit
        return None if self.updates is None else update - self.updates[visit - 1]

    def places(self, visit: npt.NDArray[np.int64], dim: str) -> dict[str, xr.Variable]:
        """Give the place in time of the given visits, as coordinates along `dim`."""
        return {
            name: xr.Variable(dim, values[visit], {"units": UNITS[name]} if name in UNITS else {})
            for name, values in self.timeline.items()
        }


def read_extent(store: Store, facts: Mapping[str, Any], *, skip_damaged: bool = False) -> Extent:
    """Read the marker first, and only then what it makes visible.

    Parameters
    ----------
    store
        Where the trace lies.
    facts : mapping
        Its attributes, checked.
    skip_damaged : bool
        Leave out columns of the timeline that cannot be read.

    Raises
    ------
    NotATraceError
        If there is no marker: the trace was never finished being made.
    DamagedTraceError
        If the marker or a column of the timeline cannot be read.
    """
    planned = room_for_snapshots(facts)
    marker, declared = read_commit(store, planned)
    timeline: dict[str, npt.NDArray[Any]] = {}
    damaged: dict[str, str] = {}

    def read(name: str) -> None:
        try:
            timeline[name] = _read_column(store, name, marker.committed, facts)
        except TraceError as error:
            if not skip_damaged:
                raise
            damaged[f"{TIMELINE}/{name}"] = str(error)

    each(store, read, (*TIMELINE_COORDS, UPDATES) if is_open(facts) else TIMELINE_COORDS)
    ordered = {name: timeline[name] for name in TIMELINE_COORDS if name in timeline}
    return Extent(
        marker.committed,
        marker.generation,
        planned,
        facts.get("updates_per_visit", 0),
        ordered,
        damaged,
        is_open(facts),
        declared,
        timeline.get(UPDATES),
    )


def read_commit(store: Store, planned: int) -> tuple[Marker, tuple[str, ...]]:
    """Read the marker of a trace of so many planned snapshots, and which arrays there are; check both.

    As long as nothing is committed, no arrays need be there.

    Raises
    ------
    NotATraceError
        If there is none: the trace was never finished being made.
    DamagedTraceError
        If it makes no sense.
    """
    marker = require_marker(store)
    document = read_document(store, f"{COMMIT_KEY}/{METADATA}")
    layout = parse_array(COMMIT_KEY, document, store.url)
    with checking(f"{store.url}/{COMMIT_KEY}"):
        check_marker_layout(layout)
        if not 0 <= marker.committed <= planned or marker.generation < 0:
            raise MalformedError(f"the marker {marker} of a trace of {planned} snapshots makes no sense")
        declared = check_declared_keys(document["attributes"].get(DECLARED, []))
    return marker, declared if marker.committed else ()


def check_marker_layout(layout: ArrayLayout) -> None:
    """Check that the marker is two whole numbers in one chunk."""
    check_column(layout)
    if layout.shape != (2,) or layout.chunk != (2,) or layout.dtype != np.dtype("<i8"):
        raise MalformedError("the commit marker is two int64 in one chunk")


def read_known(
    store: Store, key: str, n_most: int | None = None, *, sample: str | None = None
) -> npt.NDArray[Any]:
    """Read the first `n_most` samples of a coordinate, all of them if None.

    Where `sample` says what there is one of for each, whole numbers are expected.
    """
    layout = read_layout(store, key)
    if sample is not None:
        with checking(f"{store.url}/{key}"):
            check_numbers(layout, sample)
    n_samples = layout.shape[0] if n_most is None else min(n_most, layout.shape[0])
    return StoredSeries(store, layout, n_samples)[:]


def _read_column(store: Store, name: str, committed: int, facts: Mapping[str, Any]) -> npt.NDArray[Any]:
    key = f"{TIMELINE}/{name}"
    layout = read_layout(store, key)
    with checking(f"{store.url}/{key}"):
        if is_open(facts):
            check_timeline_layout(layout, name, max(committed, layout.shape[0]))
        else:
            check_timeline_layout(layout, name, facts[PLANNED])
        values = StoredSeries(store, layout, committed)[:]
        _check_column_values(name, values, facts)
    return values


def check_timeline_layout(layout: ArrayLayout, name: str, planned: int) -> None:
    """Check that a column of the timeline has a place for every planned snapshot."""
    check_column(layout)
    kind = "<f8" if name == "wall_time_seconds" else "<i8"
    if layout.dims != ("visit",) or layout.shape != (planned,) or layout.dtype != np.dtype(kind):
        raise MalformedError(
            f"expected {planned} values of type {kind} over (visit,), found {layout.shape[0]} of type "
            f"{layout.dtype} over {layout.dims}"
        )


def _check_column_values(name: str, values: npt.NDArray[Any], facts: Mapping[str, Any]) -> None:
    """Check the places in time; only before any training is there no epoch, position and task."""
    if name == "wall_time_seconds" or not len(values):
        return
    if is_open(facts):
        _check_open_values(values)
        return
    n_epochs, n_tasks = facts["n_epochs"], facts["n_tasks"]
    most = {"epoch": n_epochs, "position": facts["snapshots_planned"], "trained_task": n_tasks}[name]
    if values[0] != -1 or (values[1:] < 0).any() or (values[1:] >= most).any():
        raise MalformedError(f"expected -1 and then numbers from 0 to below {most}")


def _check_open_values(values: npt.NDArray[Any]) -> None:
    """Check the places in time of visits that nobody planned: any of them may lack one."""
    if (values < -1).any():
        raise MalformedError("expected -1, or numbers from 0 on")
