"""Stored arrays that read only what is asked of them, for dask to hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from tracekit.errors import DamagedTraceError
from tracekit.indexing import full_key, span, within
from tracekit.layout import ArrayLayout, Shape
from tracekit.marker import unchanged
from tracekit.shards import read_shard
from tracekit.store import Store

BLOCK_BYTES = 32 << 20
BLOCK_SAMPLES = 128
Values = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class StoredRows:
    """A block of columns of the committed flat rows, seen in a shape of its own.

    Parameters
    ----------
    store, layout
        Where the rows lie, and how.
    n_rows : int
        Committed rows; those after them do not exist for a reader.
    start, tail : int and tuple of int
        First column, and the shape that the columns from there on have: `(n,)` for a stretch of the row,
        a tensor's shape for a tensor.
    generation : int, optional
        That of the trace when it was opened; reading fails if it has gone back since.
    gaps : set of int
        Rows that could not be written, and read as missing.
    """

    store: Store
    layout: ArrayLayout
    n_rows: int
    start: int
    tail: Shape
    generation: int | None = None
    gaps: frozenset[int] = frozenset()

    @property
    def shape(self) -> Shape:
        """Committed rows, middle dims, and the shape of the tensor."""
        return (self.n_rows, *self.layout.shape[1:-1], *self.tail)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.layout.dtype

    @property
    def ndim(self) -> int:
        """Number of dims."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> Values:
        """Read what a tuple of slices, integers and at most one list asks for."""
        parts = full_key(key, self.ndim)
        n_lead = self.ndim - len(self.tail)
        rows = np.atleast_1d(np.arange(self.n_rows)[parts[0]])
        middle = [span(part, size) for part, size in zip(parts[1:n_lead], self.shape[1:n_lead], strict=True)]
        columns, tail = self._columns(parts[n_lead:])
        values = self._read(rows, (*middle, columns)).reshape(len(rows), *map(len, middle), *tail)
        first = 0 if isinstance(parts[0], (int, np.integer)) else slice(None)
        inner = [within(part, part_span) for part, part_span in zip(parts[1:n_lead], middle, strict=True)]
        if self.tail:
            inner += [within(parts[n_lead], span(parts[n_lead], self.tail[0])), *parts[n_lead + 1 :]]
        return values[(first, *inner)]

    def _columns(self, parts: tuple[Any, ...]) -> tuple[range, Shape]:
        """Give the columns to read: a stretch of the first dim of the tensor, whole in the others."""
        if not self.tail:
            return range(self.start, self.start + 1), ()
        stretch = span(parts[0], self.tail[0])
        width = math.prod(self.tail[1:])
        first = self.start + stretch.start * width
        return range(first, first + len(stretch) * width), (len(stretch), *self.tail[1:])

    def _read(self, rows: npt.NDArray[np.int64], spans: tuple[range, ...]) -> Values:
        out = np.empty((len(rows), *map(len, spans)), self.layout.dtype)
        with unchanged(self.store, self.generation):
            for position, row in enumerate(rows.tolist()):
                part = out[position : position + 1]
                if row in self.gaps:
                    part[...] = self.layout.fill
                else:
                    self._read_row(row, spans, part)
        return out

    def _read_row(self, row: int, spans: tuple[range, ...], out: Values) -> None:
        for index in self.layout.row_objects(row):
            target, wanted = [], []
            for asked, place, size in zip(spans, index[1:], self.layout.object_shape[1:], strict=True):
                corner = place * size
                start, stop = max(asked.start, corner), min(asked.stop, corner + size)
                target.append(slice(start - asked.start, stop - asked.start))
                wanted.append(slice(start - corner, stop - corner))
            if all(part.stop > part.start for part in wanted):
                part = out[(slice(None), *target)]
                read_shard(self.store, self.layout, index, (slice(0, 1), *wanted), part)

    def lazy(self, name: str) -> da.Array:
        """Give a dask array: many samples and a block of columns in each task."""
        return da.from_array(self, chunks=self._blocks(), name=name, asarray=False)

    def _blocks(self) -> Shape:
        """Choose blocks of at most 128 samples and 32 MiB, cut along the first dim of the tensor only."""
        samples = max(1, min(self.n_rows, BLOCK_SAMPLES))
        middle = (1,) * (len(self.layout.shape) - 2)
        if not self.tail:
            return (samples, *middle)
        width = max(1, math.prod(self.tail[1:]))
        fits = max(1, BLOCK_BYTES // (samples * width * self.layout.dtype.itemsize))
        stored = self.layout.chunk[-1]
        if len(self.tail) == 1 and fits > stored:
            fits = fits // stored * stored
        return (samples, *middle, min(fits, max(1, self.tail[0])), *self.tail[1:])


@dataclass(frozen=True, eq=False)
class StoredSeries:
    """The committed samples of a series; `generation` as for rows."""

    store: Store
    layout: ArrayLayout
    n_rows: int
    generation: int | None = None

    @property
    def shape(self) -> Shape:
        """Committed samples and the dims after them."""
        return (self.n_rows, *self.layout.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.layout.dtype

    @property
    def ndim(self) -> int:
        """Number of dims."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> Values:
        """Read the chunks that a key touches, and give what it asks for."""
        parts = full_key(key, self.ndim)
        asked = span(parts[0], self.n_rows)
        size = self.layout.chunk[0]
        first = asked.start // size
        with unchanged(self.store, self.generation):
            chunks = [self.chunk(number) for number in range(first, -(-asked.stop // size))]
        empty = np.empty((0, *self.shape[1:]), self.dtype)
        values = np.concatenate(chunks or [empty])[asked.start - first * size : asked.stop - first * size]
        found: Values = values[(within(parts[0], asked), *parts[1:])]
        return found

    def chunk(self, number: int) -> Values:
        """Read one stored chunk whole."""
        key = self.layout.object_key((number, *(0 for _ in self.shape[1:])))
        place = f"{self.store.url}/{key}"
        data = self.store.get(key)
        if data is None:
            raise DamagedTraceError(
                f"{place}: missing, though visits in it were committed; restore it from a copy"
            )
        out = np.empty(self.layout.chunk, self.dtype)
        self.layout.codec.decode_into(memoryview(data), out, place)
        return out

    def lazy(self, name: str) -> da.Array:
        """Give a dask array of a few large chunks."""
        row = max(1, math.prod(self.shape[1:]) * self.dtype.itemsize)
        samples = max(1, min(self.n_rows, BLOCK_BYTES // 8 // row))
        return da.from_array(self, chunks=(samples, *self.shape[1:]), name=name, asarray=False)
