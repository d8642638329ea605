"""Putting back metadata and coordinates that are damaged or gone, from the copy that the writer kept."""

from __future__ import annotations

import json
import os

from tracekit.checking.verify import faults_of_all_visits
from tracekit.format.copies import COPIES_KEY, pack, read_copies
from tracekit.format.documents import read_document, seal
from tracekit.format.layout import COMMIT_KEY, DERIVED, KNOWN, METADATA
from tracekit.reading.counts import is_open
from tracekit.store import Store, open_store
from tracekit.writing.claims import take_claim


def restore(path: str | os.PathLike[str], *, force_claim: bool = False) -> tuple[str, ...]:
    """Put back what all visits need: metadata, and coordinates that are planned. Values have no second copy.

    Where only the copy is damaged, it is made anew. Which visits of a kind could not be written (`gaps`) is
    not in the copy of its metadata: once put back, they are named as missing values.

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
    store = open_store(path)
    claim = take_claim(store, force=force_claim)
    try:
        if {fault.kind for fault in faults_of_all_visits(store)} == {"copy"}:
            store.put(COPIES_KEY, pack(_what_is_copied(store)))
            return (COPIES_KEY,)
        return _put_back(store)
    finally:
        store.sync()
        claim.release()


def _put_back(store: Store) -> tuple[str, ...]:
    """Put objects back until nothing more can be: once metadata is there, faults in coordinates are seen."""
    copies, restored = read_copies(store), list[str]()
    while broken := _broken(store, set(copies) - set(restored)):
        for key in broken:
            store.put(key, _at_rest(copies[key]) if key == METADATA else copies[key])
        restored += broken
    return tuple(restored)


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
