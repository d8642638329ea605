"""Read everything that a trace holds, and name what is damaged."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np

from tracekit.checking.faults import Fault, Report, sound_commit
from tracekit.checking.inventory import Inventory, Item, take_inventory, whole_stretch
from tracekit.errors import DamagedTraceError, TraceError
from tracekit.format.checkpoints import (
    CHECKPOINT_KEY,
    DOCUMENT,
    check_checkpoint,
    key_of,
    usable_checkpoints,
)
from tracekit.format.codecs import CHECKSUM_BYTES
from tracekit.format.layout import METADATA, TIMELINE, Shape
from tracekit.format.shards import INDEX_ENTRY_BYTES, read_index
from tracekit.reading.extent import read_extent
from tracekit.reading.nodes import open_group
from tracekit.reading.stored import StoredSeries
from tracekit.store import Store, open_store

THREADS = 4
MAX_FAULTS = 10_000
_AT_ONCE = 256
Progress = Callable[[int, int], None]
"""Told how many objects have been read, of how many."""


def verify(
    path: str | os.PathLike[str], *, threads: int = THREADS, progress: Progress | None = None
) -> Report:
    """Read every committed chunk of every array of a trace, its coordinates, marker, metadata, checkpoints.

    Parameters
    ----------
    path : str or path
        The trace.
    threads : int
        How many objects are read at the same time. Each takes the memory of one chunk, encoded and decoded.
    progress : callable, optional
        Told of each object that has been read.

    Returns
    -------
    Report
        Every fault: array, object, chunk within it, visits hit, and what is wrong.

    Raises
    ------
    TraceNotFoundError
        If there is nothing at the path.
    NotATraceError
        If there is something else.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit.testing.written import write_example_trace
    >>> report = verify(write_example_trace(tempfile.mkdtemp() + "/run.zarr"))
    >>> report.faults, report.committed, report.sound_commit
    ((), 7, 7)
    """
    inventory = take_inventory(open_store(path))
    faults, n_chunks, n_bytes, n_read = list(inventory.faults), 0, 0, 0
    checkpoints = usable_checkpoints(inventory.store, inventory.committed or 0)
    n_objects = inventory.n_objects + len(checkpoints)
    for result in chain(_read_all(inventory, threads), _read_checkpoints(inventory.store, checkpoints)):
        n_read += 1
        n_chunks, n_bytes = n_chunks + result.n_chunks, n_bytes + result.n_bytes
        faults += result.faults
        if progress is not None:
            progress(n_read, n_objects)
        if len(faults) > MAX_FAULTS:
            break
    faults += _contradictions(inventory, faults)
    return _report(inventory, faults, n_read, n_chunks, n_bytes)


def faults_of_all_visits(store: Store) -> list[Fault]:
    """Name what is wrong with metadata, coordinates, and their copy; values are not read."""
    inventory = take_inventory(store)
    faults = list(inventory.faults)
    for part in inventory.parts:
        if part.kind == "coordinates":
            faults += [fault for item in part.items() for fault in _read(store, item).faults]
    return [*faults, *_contradictions(inventory, faults)]


def faults_of_checkpoints(store: Store, committed: int) -> list[Fault]:
    """Name the checkpoints of so many snapshots that are damaged."""
    results = _read_checkpoints(store, usable_checkpoints(store, committed))
    return [fault for result in results for fault in result.faults]


def faults_in(inventory: Inventory, threads: int = THREADS) -> list[Fault]:
    """Name all that is wrong with an inventory, values too."""
    found = (fault for result in _read_all(inventory, threads) for fault in result.faults)
    return [*inventory.faults, *found]


def _report(inventory: Inventory, faults: list[Fault], n_read: int, n_chunks: int, n_bytes: int) -> Report:
    severe = {fault.group for fault in faults if fault.is_severe}
    lost = tuple(group for group in inventory.groups if group in severe or {"", "commit"} & severe)
    return Report(
        path=inventory.store.url,
        committed=inventory.committed,
        n_objects=n_read,
        n_chunks=n_chunks,
        n_bytes=n_bytes,
        cut_off=len(faults) > MAX_FAULTS,
        faults=tuple(faults),
        sound_commit=sound_commit(faults, inventory.committed),
        readable=tuple(group for group in inventory.groups if group not in lost),
        lost=lost,
    )


@dataclass
class _Result:
    """What reading one object has given."""

    n_chunks: int = 0
    n_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)


def _read_all(inventory: Inventory, threads: int) -> Iterator[_Result]:
    """Read all objects, some hundreds under way at a time, so that a long trace takes no more memory."""
    items = inventory.items()
    with ThreadPoolExecutor(threads, thread_name_prefix="tracekit-verify") as pool:
        while batch := list(islice(items, _AT_ONCE)):
            yield from pool.map(lambda item: _read(inventory.store, item), batch)


def _read(store: Store, item: Item) -> _Result:
    result = _Result()
    if item.layout.shard is None:
        _read_series_chunk(store, item, result)
    else:
        _read_shard(store, item, result)
    return result


def _read_series_chunk(store: Store, item: Item, result: _Result) -> None:
    try:
        values = StoredSeries(store, item.layout, item.layout.shape[0]).chunk(item.index[0])
    except TraceError as error:
        result.faults.append(_fault(item, None, error))
    else:
        result.n_chunks, result.n_bytes = 1, values.nbytes


def _read_shard(store: Store, item: Item, result: _Result) -> None:
    layout = item.layout
    try:
        with store.open(item.key) as shard:
            entries = read_index(shard, layout, f"{store.url}/{item.key}")
        _check_end(store, item, entries.reshape(-1, 2))
    except TraceError as error:
        result.faults.append(_fault(item, None, error))
        return
    values = np.empty(layout.chunk, layout.dtype)
    for place in np.ndindex(layout.chunks_per_shard):
        offset, length = entries[place].tolist()
        try:
            data = store.get_range(item.key, offset, length) or b""
            where = f"{store.url}/{item.key}, chunk {place}"
            layout.codec.decode_into(memoryview(data), values, where)
        except TraceError as error:
            result.faults.append(_fault(item, place, error))
        else:
            result.n_chunks, result.n_bytes = result.n_chunks + 1, result.n_bytes + length


def _check_end(store: Store, item: Item, entries: np.ndarray[tuple[int, int], np.dtype[np.uint64]]) -> None:
    """Check that the index begins where the last chunk ends."""
    size = INDEX_ENTRY_BYTES * math.prod(item.layout.chunks_per_shard) + CHECKSUM_BYTES
    end = int(entries[-1].sum())
    found = len(store.get_range(item.key, end, size + 1) or b"")
    if found != size:
        raise DamagedTraceError(
            f"{store.url}/{item.key}: wrong size, the chunks and the index do not make up the whole file"
        )


def _read_checkpoints(store: Store, numbers: Iterable[int]) -> Iterator[_Result]:
    """Read checkpoints, those that are not whole left out: these do not exist."""
    for number in numbers:
        result = _Result()
        try:
            if store.get(key_of(number, DOCUMENT)) is not None:
                check_checkpoint(store, number)
        except TraceError as error:
            if _is_there(store, number):  # the writer may have removed it meanwhile
                name = f"{CHECKPOINT_KEY}/{number}"
                result.faults.append(Fault("checkpoint", name, name, None, (), str(error)))
        yield result


def _is_there(store: Store, number: int) -> bool:
    try:
        return store.get(key_of(number, DOCUMENT)) is not None
    except TraceError:
        return True


def _fault(item: Item, chunk: Shape | None, error: TraceError) -> Fault:
    return Fault(item.kind, item.layout.key, item.key, chunk, item.visits, str(error))


def _contradictions(inventory: Inventory, faults: list[Fault]) -> Iterator[Fault]:
    """Open whatever is sound byte by byte: its parts may still not fit together."""
    if inventory.facts is None or inventory.committed is None:
        return
    severe = {fault.group for fault in faults if fault.is_severe}
    visits = whole_stretch(inventory.visits)
    try:
        extent = read_extent(inventory.store, inventory.facts)
    except TraceError as error:
        if not any(fault.group == TIMELINE for fault in faults):
            yield Fault("metadata", TIMELINE, f"{TIMELINE}/{METADATA}", None, visits, str(error))
        extent = read_extent(inventory.store, inventory.facts, skip_damaged=True)
    for group in inventory.groups:
        if group not in severe:
            try:
                open_group(inventory.store, group, extent)
            except TraceError as error:
                yield Fault("metadata", group, f"{group}/{METADATA}", None, visits, str(error))
