"""A dask array of stored rows that leaves out what is not asked for before it makes any task.

Dask cuts an array into blocks first and then slices the blocks: one visit of a row of many blocks costs a
task for each of them, and after a second slice whole blocks are read (measured: one visit took 80–200 times
as long as from a memory map). And where all of an array is asked for, its blocks are put together in a copy,
which costs as much as the reading. So a slice of a `StoredArray` gives a `StoredArray` of fewer rows or
columns, cut into blocks anew; and to compute one is a single task, which decodes in threads, each value into
its place. `read_arrays` reads several of the same rows so, each chunk once. (Dask could be made to do that
with an `__dask_optimize__` of their own, but `dask.compute` mixes up the results of arrays whose ways to
optimize differ.)
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self, TypeGuard

import dask.array as da
import numpy as np
from dask import config, threaded
from dask.array.core import graph_from_arraylike
from dask.base import get_scheduler
from dask.highlevelgraph import HighLevelGraph
from dask.local import get_sync
from dask.system import CPU_COUNT

from tracekit.reading.indexing import is_whole
from tracekit.reading.stored import StoredRows, StoredSeries, Stretch, Values
from tracekit.reading.together import read_together

NOT_SCHEDULED = ("traverse", "optimize_graph")  # settings of `dask.compute` that say what to do before


class _DaskArray(type):
    """A class that is `dask.array.Array` to whoever compares classes.

    xarray refuses to compute or combine chunked arrays of several types, and a subclass is another type to it
    (`xarray.namedarray.parallelcompat.get_chunked_array_type`): without this, a Dataset of a stored array and
    of one made from it could not be loaded.
    """

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is da.Array

    def __hash__(cls) -> int:
        return hash(da.Array)


class StoredArray(da.Array, metaclass=_DaskArray):
    """A dask array of stored rows. Whatever is made of it, other than a slice, is an ordinary dask array."""

    stored: StoredRows
    stored_name: str

    def __new__(cls, stored: StoredRows, name: str) -> Self:
        """Cut the rows into blocks, named by `name`; what dask's own would work out beforehand waits."""
        self: Self = object.__new__(cls)
        self._name = self.stored_name = name
        self._chunks = stored.chunks
        self._meta = stored.meta
        self.stored = stored
        return self

    @cached_property
    def dask(self) -> HighLevelGraph:
        """The tasks; of many variables selected together few are ever asked for theirs."""
        return _graph(self.stored, self.chunks, self.name)

    def __reduce__(self) -> Any:
        return (StoredArray, (self.stored, self.name)) if is_stored(self) else super().__reduce__()

    def __getitem__(self, key: Any) -> da.Array:
        """Cut rows and columns; leave anything else to dask."""
        if not (_is_plain(key) and is_stored(self)):
            return super().__getitem__(key)
        stored, rest = self.stored.cut(key)
        cut = self._of(stored)
        if is_whole(rest):
            return cut
        return super(StoredArray, cut).__getitem__(rest)

    def columns(self, stretches: Sequence[Stretch]) -> StoredArray:
        """Give some stretches of the columns of whole rows, one after another."""
        return self._of(self.stored.columns(stretches))

    def _of(self, stored: StoredRows) -> StoredArray:
        facts = repr((self.name, stored.stretches, stored.tail, stored.one_row)).encode()
        token = hashlib.blake2b(facts + stored.rows.tobytes(), digest_size=16)
        return StoredArray(stored, f"trace-{token.hexdigest()}")

    def compute(self, scheduler: Any = None, **settings: Any) -> Values:
        """Read all of it in one task, in several threads; `np.asarray` and xarray's `values` come here too.

        `scheduler` and `settings` are those of `dask.compute`; there is nothing to traverse or to optimize.
        """
        if not is_stored(self):
            changed: Values = super().compute(scheduler=scheduler, **settings)
            return changed
        return read_arrays([self.stored], scheduler, **settings)[0]


def in_blocks(stored: StoredRows | StoredSeries, name: str) -> da.Array:
    """Give what is stored as a dask array, named by `name`."""
    return StoredArray(stored, name) if isinstance(stored, StoredRows) else stored.lazy(name)


def is_stored(data: Any) -> TypeGuard[StoredArray]:
    """Say whether an array is what is stored: dask assigns in place, by another graph and another name."""
    return isinstance(data, StoredArray) and data.name == data.stored_name


def read_arrays(views: Sequence[StoredRows], scheduler: Any = None, **settings: Any) -> list[Values]:
    """Read arrays in one task, those of the same rows together; `dask.compute` takes two tasks for each."""
    get = get_scheduler(scheduler=scheduler) or threaded.get
    n_threads = 1 if get is get_sync else thread_count(settings)
    if get is threaded.get:
        get = get_sync  # threads are made below; to hand them the one task takes longer than to begin it
    name = f"read-{uuid.uuid4().hex}"
    task = (read_all, views, n_threads)
    settings = {key: value for key, value in settings.items() if key not in NOT_SCHEDULED}
    values: list[Values] = get({name: task}, [name], **settings)[0]
    return values


def read_all(views: Sequence[StoredRows], n_threads: int) -> list[Values]:
    """Read views, those of the same rows together."""
    found: dict[int, Values] = {}
    for places in _by_rows(views):
        group = read_together([views[place] for place in places], n_threads)
        found.update(zip(places, group, strict=True))
    return [found[place] for place in range(len(views))]


def _by_rows(views: Sequence[StoredRows]) -> list[list[int]]:
    """Group the places of views by the rows that they show."""
    groups: dict[Any, list[int]] = {}
    for place, view in enumerate(views):
        groups.setdefault(view.same_rows, []).append(place)
    return list(groups.values())


def thread_count(settings: Mapping[str, Any] | None = None) -> int:
    """Give how many threads dask may use."""
    found = (settings or {}).get("num_workers") or config.get("num_workers", None) or CPU_COUNT
    return int(found)


def _graph(stored: StoredRows, chunks: tuple[tuple[int, ...], ...], name: str) -> HighLevelGraph:
    if any(len(sizes) != 1 for sizes in chunks):
        return graph_from_arraylike(stored, chunks, stored.shape, name)
    # one block needs no layer of slices, which takes most of the time to build a small array
    return HighLevelGraph.from_collections(name, {(name, *(0 for _ in chunks)): (StoredRows.read, stored)})


def _is_plain(key: Any) -> bool:
    """Say whether a key is made of slices, integers and lists or arrays of one dim."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        part is Ellipsis
        or isinstance(part, slice | int | np.integer)
        or (isinstance(part, list | np.ndarray) and np.ndim(part) == 1)
        for part in parts
    )
