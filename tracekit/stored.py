"""Stored arrays that read only what is asked of them, for dask to hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from tracekit.claims import UNPROVEN_BLOCKS, UNPROVEN_BYTES, check_held
from tracekit.errors import DamagedTraceError
from tracekit.indexing import full_key, span, within
from tracekit.layout import ArrayLayout, Shape
from tracekit.shards import read_shard
from tracekit.store import Store

BLOCK_BYTES = 32 << 20
BLOCK_SAMPLES = 128
MOST_BLOCKS_ACROSS = 1 << 14
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
    """

    store: Store
    layout: ArrayLayout
    n_rows: int
    start: int
    tail: Shape

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
        row_bytes = math.prod(map(len, spans)) * self.layout.dtype.itemsize
        if len(rows) * row_bytes > UNPROVEN_BYTES:
            check_held(self.store, self.layout, rows.tolist(), row_bytes)
        out = np.empty((len(rows), *map(len, spans)), self.layout.dtype)
        for position, row in enumerate(rows.tolist()):
            self._read_row(row, spans, out[position : position + 1])
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
        """Choose blocks of at most 128 samples and 32 MiB, cut along the first dim of the tensor only.

        Very wide rows are cut into blocks of fewer samples, not into ever more blocks.
        """
        if self.n_rows == 0:
            return tuple(max(1, size) for size in self.shape)
        row_bytes = math.prod(self.shape[1:]) * self.layout.dtype.itemsize
        samples = max(1, min(self.n_rows, BLOCK_SAMPLES, MOST_BLOCKS_ACROSS * BLOCK_BYTES // row_bytes))
        middle = (1,) * (len(self.layout.shape) - 2)
        if not self.tail:
            return (samples, *middle)
        width = max(1, math.prod(self.tail[1:]))
        fits = max(1, BLOCK_BYTES // (samples * width * self.layout.dtype.itemsize))
        stored = self.layout.chunk[-1]
        if len(self.tail) == 1 and fits > stored:
            fits = fits // stored * stored
        return (samples, *middle, min(fits, max(1, self.tail[0])), *self.tail[1:])

    @property
    def n_blocks(self) -> int:
        """How many blocks the dask array has."""
        return math.prod(-(-n // size) for n, size in zip(self.shape, self._blocks(), strict=True))


def refuse_mere_claims(parts: Sequence[StoredRows]) -> None:
    """Refuse tensors of one row that would be cut into very many blocks, with no files that could hold them.

    Raises
    ------
    DamagedTraceError
        If that is so.
    """
    if sum(part.n_blocks for part in parts) > UNPROVEN_BLOCKS:
        first, layout = parts[0], parts[0].layout
        check_held(
            first.store,
            layout,
            range(first.n_rows),
            math.prod(layout.shape[1:]) * layout.dtype.itemsize,
        )


@dataclass(frozen=True, eq=False)
class StoredSeries:
    """The committed samples of a series."""

    store: Store
    layout: ArrayLayout
    n_rows: int

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
        chunks = [self.chunk(number) for number in range(first, -(-asked.stop // size))]
        empty = np.empty((0, *self.shape[1:]), self.dtype)
        values = np.concatenate(chunks or [empty])[asked.start - first * size : asked.stop - first * size]
        found: Values = values[(within(parts[0], asked), *parts[1:])]
        return found

    def chunk(self, number: int) -> Values:
        """Read one stored chunk whole."""
        key = self.layout.object_key((number, *(0 for _ in self.shape[1:])))
        place = f"{self.store.url}/{key}"
        most = self.layout.codec.most_bytes(math.prod(self.layout.chunk) * self.dtype.itemsize)
        data = self.store.get_range(key, 0, most + 1)
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
