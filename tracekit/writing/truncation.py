"""Going back: a trace as it was after fewer snapshots."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tracekit.errors import TraceWriteError
from tracekit.format.documents import read_document
from tracekit.format.layout import (
    COMMIT_KEY,
    DERIVED,
    GAPS,
    KNOWN,
    METADATA,
    ArrayLayout,
    group_metadata,
    read_layout,
)
from tracekit.format.marker import Marker, require_marker, write_marker
from tracekit.reading.counts import is_open, samples_at, trim
from tracekit.reading.extent import read_known
from tracekit.reading.stored import StoredSeries
from tracekit.store import Store, open_store, remove_all
from tracekit.writing.claims import take_claim
from tracekit.writing.fencing import FencedStore, shut_out


def rollback(path: str | os.PathLike[str], snapshots: int, *, force_claim: bool = False) -> None:
    """Drop all but the first snapshots of a trace, for good.

    Whoever has the trace open is told so when they next read from it. A run can be resumed from there.

    Parameters
    ----------
    path : str or path
        The trace.
    snapshots : int
        How many are kept; 1 keeps the state before any training.
    force_claim : bool
        Take the trace over from a writer that may still live.

    Raises
    ------
    TraceWriteError
        If there are fewer snapshots, or another process writes the trace (`TraceInUseError`).

    Examples
    --------
    >>> import tempfile
    >>> from tracekit import open_trace
    >>> from tracekit.testing.written import write_example_trace
    >>> path = write_example_trace(tempfile.mkdtemp() + "/run.zarr")
    >>> rollback(path, 3)
    >>> open_trace(path)["losses"].visit.values
    array([0, 1, 2])
    """
    place = open_store(path)
    require_marker(place)
    claim = take_claim(place, force=force_claim)
    try:
        store = FencedStore(place, claim)
        committed = require_marker(store).committed
        if not 0 <= snapshots <= committed:
            raise TraceWriteError(f"{store.url}: has {committed} snapshots; cannot go back to {snapshots}")
        document = read_document(store, METADATA)
        if claim.by_force or (document["attributes"]["status"] == "complete" and snapshots < committed):
            store.put(METADATA, group_metadata({**document["attributes"], "status": "interrupted"}))
        go_back(store, snapshots, anew=claim.by_force)
    finally:
        claim.release()


def go_back(store: Store, snapshots: int, *, anew: bool = False) -> Marker:
    """Make a trace end after so many snapshots; only the one writer may.

    The marker goes first, so that nothing that is then deleted is visible. With `anew` it changes in any
    case: a writer that the trace was taken from, and that still lives, can then no longer commit.
    """
    marker = require_marker(store)
    kept = Marker(snapshots, marker.generation + (anew or snapshots < marker.committed))
    write_marker(store, kept, before=[marker])
    if anew:
        shut_out(store)
    store.sweep()
    if open_ended(store):
        trim(store, snapshots)
    for group in store.children():
        if group not in (METADATA, COMMIT_KEY, DERIVED):
            _truncate_group(store, group, snapshots)
    store.sync()
    return kept


def committed_samples(store: Store, group: str, dim: str, snapshots: int) -> int:
    """Count the samples of a group along a dim that belong to the first snapshots."""
    if open_ended(store):
        return samples_at(store, group, dim, snapshots)
    name = "update_visit" if dim == "update" else "visit"
    visit: npt.NDArray[np.int64] = read_known(store, f"{group}/{name}")
    return int(np.searchsorted(visit, snapshots))


def open_ended(store: Store) -> bool:
    """Say whether nobody knew the end of a trace when it was begun."""
    return is_open(read_document(store, METADATA)["attributes"])


def _truncate_group(store: Store, group: str, snapshots: int) -> None:
    _truncate_gaps(store, group, snapshots)
    planned = () if open_ended(store) else KNOWN
    for name in list(store.children(group)):
        if name in (METADATA, *planned):
            continue
        layout = read_layout(store, f"{group}/{name}")
        n_samples = committed_samples(store, group, layout.dims[0], snapshots)
        for number in _beyond(store, layout, n_samples):
            remove_all(store, f"{layout.key}/c/{number}")
        _cut_tail(store, layout, n_samples)


def _truncate_gaps(store: Store, group: str, snapshots: int) -> None:
    """Forget the gaps of a group of rows that are not among the first snapshots."""
    attributes = read_document(store, f"{group}/{METADATA}").get("attributes", {})
    if attributes.get(GAPS):
        dim = read_layout(store, f"{group}/values").dims[0]
        n_kept = committed_samples(store, group, dim, snapshots)
        kept = set(read_known(store, f"{group}/{dim}", n_kept).tolist())
        gaps = [sample for sample in attributes[GAPS] if sample in kept]
        if gaps != attributes[GAPS]:
            store.put(f"{group}/{METADATA}", group_metadata({**attributes, GAPS: gaps}))


def _beyond(store: Store, layout: ArrayLayout, n_samples: int) -> Iterator[int]:
    """Give the first index of all objects that hold none of the first samples."""
    first = -(-n_samples // layout.object_shape[0])
    for name in list(store.children(f"{layout.key}/c")):
        if name.isdigit() and int(name) >= first:
            yield int(name)


def _cut_tail(store: Store, layout: ArrayLayout, n_samples: int) -> None:
    """Forget the samples of the last chunk that are not among the first ones."""
    number, n_kept = divmod(n_samples, layout.object_shape[0])
    if n_kept:
        values = StoredSeries(store, layout, n_samples).chunk(number)
        values[n_kept:] = layout.fill
        key = layout.object_key((number, *(0 for _ in layout.shape[1:])))
        store.put(key, layout.codec.encode(values))
