"""A commit marker that is lost, made anew from what it had committed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np

from tracekit.checking.inventory import Inventory, Part, take_inventory
from tracekit.checking.verify import faults_in
from tracekit.errors import DamagedTraceError, TraceError
from tracekit.format.layout import CLOCK, TIMELINE, read_layout
from tracekit.format.marker import MARKER_KEY, Marker, read_marker, write_marker
from tracekit.reading.stored import StoredSeries
from tracekit.store import Store
from tracekit.writing.fencing import claimed


@dataclass(frozen=True)
class Remade:
    """What a marker says that was made anew.

    Parameters
    ----------
    committed : int
        How many snapshots are committed now.
    without_value : tuple of str
        Series that have no value at the snapshot after these, which was therefore dropped: they were not
        written any more, or what was recorded is NaN.
    """

    committed: int
    without_value: tuple[str, ...] = ()


def remake_marker(path: str | os.PathLike[str], *, force_claim: bool = False) -> Remade:
    """Make a damaged or missing commit marker anew; everything else must be sound, or was repaired.

    The clock says how many snapshots were written, as its last sample is put with every commit. Of these, as
    many are kept as are there whole. Where the run came to its end, the last one was committed. Otherwise it
    may not have been: it is kept if each series has values for it. A series that lacks them may have been
    NaN, which cannot be told from what was never written; a resumed run repeats that visit.

    Parameters
    ----------
    path : str or path
        The trace.
    force_claim : bool
        Take the trace over from a writer that may still live.

    Returns
    -------
    Remade
        What is now committed. The marker's generation is one that no reader has seen.

    Raises
    ------
    DamagedTraceError
        If other things are damaged too, or nothing was committed.
    TraceInUseError
        If another process writes the trace.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit.store import open_store
    >>> from tracekit.testing.written import write_example_trace
    >>> path = write_example_trace(tempfile.mkdtemp() + "/run.zarr")
    >>> open_store(path).remove("commit/c/0")
    >>> remake_marker(path).committed
    7
    """
    with claimed(path, force=force_claim) as store:
        before = _readable(store)
        if before is not None:
            return Remade(before.committed)
        store.remove(MARKER_KEY)
        remade = _what_is_whole(store)
        write_marker(store, Marker(remade.committed, int(time.time())), before=[None])
        return remade


def _readable(store: Store) -> Marker | None:
    try:
        return read_marker(store)
    except DamagedTraceError:
        return None


def _what_is_whole(store: Store) -> Remade:
    """Count the snapshots that are there with all that belongs to them."""
    written = _snapshots_written(store)
    inventory = take_inventory(store, assumed=written)
    faults = faults_in(inventory)
    severe = [fault for fault in faults if fault.is_severe]
    if severe or not written:
        why = severe[0].problem if severe else "nothing was ever committed, as far as can be seen"
        raise DamagedTraceError(f"{store.url}: the commit marker cannot be made anew: {why}")
    lacking = () if _has_ended(inventory, written) else _without_value(inventory, written - 1)
    whole = min([written, *(first for fault in faults for first, _ in fault.visits)])
    return Remade(written - 1, lacking) if lacking and whole == written else Remade(whole)


def _snapshots_written(store: Store) -> int:
    key = f"{TIMELINE}/{CLOCK}"
    layout = read_layout(store, key)
    chunks = [int(name) for name in store.children(f"{key}/c") if name.isdigit()]
    n_most = min(layout.shape[0], (max(chunks, default=-1) + 1) * layout.chunk[0])
    missing = np.isnan(StoredSeries(store, layout, n_most)[:])
    return int(np.argmax(missing)) if missing.any() else n_most


def _has_ended(inventory: Inventory, written: int) -> bool:
    """Say whether the end of the run is recorded, after which nothing is there that was not committed.

    That is the status of a run that went through, or the length to which open-ended arrays are then cut.
    """
    facts = inventory.facts or {}
    length = read_layout(inventory.store, f"{TIMELINE}/{CLOCK}").shape[0]
    return facts.get("status") == "complete" or (inventory.open_ended and length == written)


def _without_value(inventory: Inventory, visit: int) -> tuple[str, ...]:
    """Give the series that have none at a visit."""
    parts = (part for part in inventory.parts if part.kind == "values" and part.layout.shard is None)
    return tuple(part.layout.key for part in parts if not _has(inventory.store, part, visit))


def _has(store: Store, part: Part, visit: int) -> bool:
    samples = np.flatnonzero(np.asarray(part.visits) == visit)
    try:
        stored = StoredSeries(store, part.layout, len(part.visits))
        values = [stored[int(sample)] for sample in samples]
    except TraceError:
        return False
    fill = part.layout.fill
    return not any(np.any(np.isnan(value) if np.isnan(fill) else value == fill) for value in values)
