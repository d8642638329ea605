"""Stored arrays without dask: xarray gathers what is selected, and reads it when it is asked for values.

To select from a dask array takes twice as long as from one that xarray indexes, which for many
variables is as long as it takes to read one visit of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr
from xarray.backends import BackendArray
from xarray.core.indexing import (
    CopyOnWriteArray,
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    VectorizedIndexer,
    explicit_indexing_adapter,
)

from tracekit.reading.indexing import is_whole
from tracekit.reading.lazy import is_stored, read_all, thread_count
from tracekit.reading.stored import StoredRows, StoredSeries, Stretch, Values


class IndexedArray(BackendArray):
    """Stored rows, or the samples of a series, for xarray to index."""

    def __init__(self, stored: StoredRows | StoredSeries) -> None:
        self.stored = stored
        self.shape = stored.shape
        self.dtype = stored.dtype

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        """Read what is selected; of points, the lines that they lie on are read."""
        if isinstance(key, VectorizedIndexer):
            return explicit_indexing_adapter(key, self.shape, IndexingSupport.OUTER, self._read)
        return self._read(key.tuple)

    def _read(self, key: tuple[Any, ...]) -> Values:
        if isinstance(self.stored, StoredRows):
            return self.stored.part(key, thread_count())
        return self.stored[key]


def indexed(stored: StoredRows | StoredSeries) -> CopyOnWriteArray:
    """Give a stored array to xarray; what is assigned to it changes a copy in memory."""
    lazy: Any = LazilyIndexedArray(IndexedArray(stored))
    return CopyOnWriteArray(lazy)


def rows_of(variable: xr.Variable) -> StoredRows | None:
    """Give the stored rows that a variable shows, with dask or without; None if it shows anything else."""
    data = variable._data  # `data` would read it
    if is_stored(data):
        return data.stored
    if isinstance(data, CopyOnWriteArray):
        data = data.array
    if not (isinstance(data, LazilyIndexedArray) and isinstance(data.array, IndexedArray)):
        return None
    stored = data.array.stored
    if not isinstance(stored, StoredRows):
        return None
    rows, rest = stored.cut(data.key.tuple)
    return rows if is_whole(rest) else None


def columns_of(variable: xr.Variable, stretches: Sequence[Stretch]) -> Any:
    """Give some columns of rows that a variable shows whole, held as it holds them; None if it shows none."""
    data = variable._data
    if is_stored(data):
        return data.columns(stretches)
    rows = rows_of(variable)
    return rows if rows is None else indexed(rows.columns(stretches))


def read_indexed(views: Sequence[StoredRows]) -> list[Values]:
    """Read views at once, those of the same rows together."""
    return read_all(views, thread_count())
