"""Putting back metadata and coordinates that are damaged or gone, from the copy that the writer kept."""

from __future__ import annotations

import json
import os
from collections import Counter

from tracekit.checking.inventory import Part, take_inventory
from tracekit.checking.verify import faults_of_all_visits, faults_of_checkpoints
from tracekit.format.checkpoints import remove_checkpoint
from tracekit.format.copies import COPIES_KEY, pack, read_copies
from tracekit.format.documents import read_document, seal
from tracekit.format.layout import COMMIT_KEY, DERIVED, GAPS, KNOWN, METADATA, group_metadata
from tracekit.format.marker import require_marker
from tracekit.reading.counts import is_open
from tracekit.reading.extent import read_known
from tracekit.store import Store
from tracekit.writing.fencing import claimed


def restore(path: str | os.PathLike[str], *, force_claim: bool = False) -> tuple[str, ...]:
    """Put back what all visits need: metadata, and coordinates that are planned. Values have no second copy.

    Where only the copy is damaged, it is made anew. Which visits of a kind could not be written (`gaps`) is
    not in the copy of its metadata: once that is put back, those of which objects are missing are marked so.

    Parameters
    ----------
    path : str or path
        The trace.
    force_claim : bool
        Take the trace over from a writer that may still live.

    Returns
    -------
    tuple of str
        Keys of the objects that were put back.

    Raises
    ------
    DamagedTraceError
        If there is no sound copy; traces of earlier versions have none.
    TraceInUseError
        If another process writes the trace.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit.store import open_store
    >>> from tracekit.testing.written import write_example_trace
    >>> path = write_example_trace(tempfile.mkdtemp() + "/run.zarr")
    >>> open_store(path).remove("weights/zarr.json")
    >>> restore(path)
    ('weights/zarr.json',)
    """
    with claimed(path, force=force_claim) as store:
        if {fault.kind for fault in faults_of_all_visits(store)} == {"copy"}:
            store.put(COPIES_KEY, pack(_what_is_copied(store)))
            return (COPIES_KEY,)
        return _put_back(store)


def remove_damaged_checkpoints(path: str | os.PathLike[str], *, force_claim: bool = False) -> tuple[str, ...]:
    """Remove the checkpoints that are damaged: a run that is resumed then goes on from an older one.

    Parameters
    ----------
    path : str or path
        The trace.
    force_claim : bool
        Take the trace over from a writer that may still live.

    Returns
    -------
    tuple of str
        Keys of those removed.

    Raises
    ------
    TraceInUseError
        If another process writes the trace.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit.testing.written import write_example_trace
    >>> remove_damaged_checkpoints(write_example_trace(tempfile.mkdtemp() + "/run.zarr"))
    ()
    """
    with claimed(path, force=force_claim) as store:
        damaged = faults_of_checkpoints(store, require_marker(store).committed)
        for fault in damaged:
            remove_checkpoint(store, int(fault.key.rpartition("/")[2]))
        return tuple(fault.key for fault in damaged)


def _put_back(store: Store) -> tuple[str, ...]:
    """Put objects back until nothing more can be: once metadata is there, faults in coordinates are seen."""
    copies, restored = read_copies(store), list[str]()
    while broken := _broken(store, set(copies) - set(restored)):
        for key in broken:
            store.put(key, _at_rest(copies[key]) if key == METADATA else copies[key])
        restored += broken
    _mark_gaps(store, _alone(restored))
    return tuple(restored)


def _alone(restored: list[str]) -> set[str]:
    """Give the groups of which nothing but their own metadata was put back: no more of them was hit."""
    n_keys = Counter(key.split("/")[0] for key in restored)
    return {group for group, number in n_keys.items() if number == 1 and f"{group}/{METADATA}" in restored}


def _mark_gaps(store: Store, groups: set[str]) -> None:
    """Mark the rows of groups that are not there, or not whole, as missing; why can no longer be told."""
    for part in take_inventory(store).parts:
        group, _, name = part.layout.key.partition("/")
        if group in groups and name == "values" and part.layout.shard:
            _mark_gaps_of(store, group, part)


def _mark_gaps_of(store: Store, group: str, part: Part) -> None:
    rows = {item.index[0] for item in part.items() if store.get_range(item.key, 0, 1) is None}
    if rows:
        samples = read_known(store, f"{group}/{part.layout.dims[0]}", len(part.visits))
        attributes = read_document(store, f"{group}/{METADATA}")["attributes"]
        gaps = [int(samples[row]) for row in sorted(rows)]
        store.put(f"{group}/{METADATA}", group_metadata({**attributes, GAPS: gaps}))


def _broken(store: Store, keys: set[str]) -> list[str]:
    return sorted(keys & {fault.key for fault in faults_of_all_visits(store)})


def _at_rest(root: bytes) -> bytes:
    """Give the metadata of the root, copied when the run began, as of a run that may be resumed."""
    document = json.loads(root)
    document["attributes"]["status"] = "interrupted"
    return seal(document)


def _what_is_copied(store: Store) -> dict[str, bytes]:
    """Collect the objects of a sound trace that are to be in its copy."""
    names = [name for name in store.children() if name not in (METADATA, COMMIT_KEY, DERIVED)]
    arrays = [f"{name}/{child}" for name in names for child in store.children(name) if child != METADATA]
    keys = [METADATA, *(f"{key}/{METADATA}" for key in (COMMIT_KEY, *names, *arrays))]
    if not is_open(read_document(store, METADATA)["attributes"]):
        planned = [key for key in arrays if key.rpartition("/")[2] in KNOWN]
        keys += [f"{key}/c/{chunk}" for key in planned for chunk in store.children(f"{key}/c")]
    return {key: data for key in keys if (data := store.get(key)) is not None}
