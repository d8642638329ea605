"""Stored arrays that read only what is asked of them, for dask to hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from tracekit.errors import DamagedTraceError
from tracekit.format.layout import ArrayLayout, Shape
from tracekit.format.marker import unchanged
from tracekit.reading.evidence import UNPROVEN_BLOCKS, check_held
from tracekit.reading.indexing import full_key, span, take, within
from tracekit.reading.together import read_columns, read_together
from tracekit.store import Store
from tracekit.store.parallel import each

BLOCK_BYTES = 64 << 20  # of 128 visits two stored chunks: with one, a Gram matrix takes a seventh longer
BLOCK_SAMPLES = 128
COLUMN_BYTES = 256 << 20
MOST_BLOCKS_ACROSS = 1 << 14
Rows = npt.NDArray[np.int64]
Stretch = tuple[int, int]
Values = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Some columns of some committed flat rows, seen in a shape of their own.

    Parameters
    ----------
    store, layout
        Where the rows lie, and how.
    rows : array of int
        The rows, by their place in the store; uncommitted ones do not exist for a reader.
    stretches : sequence of (start, stop)
        The columns, one stretch after another.
    tail : tuple of int
        The shape that the columns have: `(n,)` for a part of the row, a tensor's shape for a tensor.
    one_row : bool
        There is one row, and no dim for it.
    generation : int, optional
        That of the trace when it was opened; reading fails if it has gone back since.
    gaps : set of int
        Rows that could not be written, and read as missing.
    """

    store: Store
    layout: ArrayLayout
    rows: Rows
    stretches: tuple[Stretch, ...]
    tail: Shape
    one_row: bool = False
    generation: int | None = None
    gaps: frozenset[int] = frozenset()

    @property
    def lead(self) -> Shape:
        """Sizes of the dims before those of the tensor: rows, if there is a dim for them, and middle dims."""
        rows = () if self.one_row else (len(self.rows),)
        return (*rows, *self.layout.shape[1:-1])

    @property
    def shape(self) -> Shape:
        """Rows, middle dims, and the shape of the tensor."""
        return (*self.lead, *self.tail)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.layout.seen_dtype

    @property
    def ndim(self) -> int:
        """Number of dims."""
        return len(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes of what is seen of one row."""
        n_middle = math.prod(self.layout.shape[1:-1])
        return n_middle * math.prod(self.tail) * self.dtype.itemsize

    @property
    def n_blocks(self) -> int:
        """How many blocks the dask array has."""
        return math.prod(-(-n // size) for n, size in zip(self.shape, self.blocks(), strict=True))

    @property
    def chunks(self) -> tuple[Shape, ...]:
        """Sizes of the blocks along each dim."""
        return tuple(_even_blocks(n, size) for n, size in zip(self.shape, self.blocks(), strict=True))

    @property
    def meta(self) -> Values:
        """An empty array of as many dims."""
        return np.empty((0,) * self.ndim, self.dtype)

    @property
    def same_rows(self) -> tuple[Any, ...]:
        """What is equal for all views of the same rows, which can be read together."""
        return (self.store.url, self.layout, self.generation, self.one_row, self.rows.tobytes())

    def __getitem__(self, key: Any) -> Values:
        """Read what slices, integers and lists ask for, each along a dim of its own."""
        return self.part(key)

    def part(self, key: Any, n_threads: int = 1) -> Values:
        """Read the same in several threads."""
        parts = full_key(key, self.ndim)
        if self.one_row:
            parts = (0, *parts)
        chosen = replace(self, rows=np.atleast_1d(self.rows[parts[0]]), one_row=False)
        n_lead = len(chosen.lead)
        middle = [span(part, size) for part, size in zip(parts[1:n_lead], chosen.lead[1:], strict=True)]
        first = span(parts[n_lead], self.tail[0]) if self.tail else range(0)
        chosen = chosen._narrowed(first) if self.tail else chosen
        values = chosen._read(middle, n_threads)
        inner = [within(part, part_span) for part, part_span in zip(parts[1:n_lead], middle, strict=True)]
        if self.tail:
            inner += [within(parts[n_lead], first), *parts[n_lead + 1 :]]
        found: Values = take(values, (0 if _is_one(parts[0]) else slice(None), *inner))
        return found

    def read(self, n_threads: int = 1) -> Values:
        """Read everything, decoded into its place by several threads."""
        return read_together([self], n_threads)[0]

    def cut(self, key: Any) -> tuple[StoredRows, tuple[Any, ...]]:
        """Leave out what a key does not ask for; give what remains, and the key for what was not done.

        Rows are left out whatever asks for them, columns by a slice of the first dim of the tensor.
        """
        parts = list(full_key(key, self.ndim))
        rows, one_row = self.rows, self.one_row
        if not one_row:
            part = parts[0]
            rows, one_row = np.atleast_1d(rows[part]), _is_one(part)
            parts[:1] = [] if one_row else [slice(None)]
        chosen = replace(self, rows=rows, one_row=one_row)
        place = len(chosen.lead)
        part = parts[place] if self.tail else None
        if isinstance(part, slice) and part != slice(None) and part.step in (None, 1):
            chosen = chosen._narrowed(range(self.tail[0])[part])
            parts[place] = slice(None)
        return chosen, tuple(parts)

    def _narrowed(self, first: range) -> StoredRows:
        """Leave out all but a stretch of the first dim of the tensor."""
        width = math.prod(self.tail[1:])
        stretches = _cut_stretches(self.stretches, first.start * width, first.stop * width)
        return replace(self, stretches=stretches, tail=(len(first), *self.tail[1:]))

    def _read(self, middle: Sequence[range], n_threads: int) -> Values:
        values = read_columns([self], middle, n_threads)[0]
        return values.reshape(*values.shape[:-1], *self.tail)

    def columns(self, stretches: Sequence[Stretch]) -> StoredRows:
        """Give some stretches of the columns, one after another."""
        return replace(self, stretches=tuple(stretches), tail=(sum(b - a for a, b in stretches),))

    def blocks(self) -> Shape:
        """Choose blocks of at most 128 samples and 64 MiB, cut along the first dim of the tensor only.

        Very wide rows are cut into blocks of fewer samples, not into ever more blocks. Of very many rows,
        blocks are narrower, and hold more of them: the blocks of all rows, which a Gram matrix puts together,
        take 256 MiB at most. Where that is less than a stored chunk, chunks are decoded more than once.
        """
        if 0 in self.shape:
            return tuple(max(1, size) for size in self.shape)
        across = MOST_BLOCKS_ACROSS * BLOCK_BYTES // self.row_bytes
        samples = max(1, min(len(self.rows), BLOCK_SAMPLES, across))
        fits = 1
        if self.tail:
            width = math.prod(self.tail[1:]) * self.dtype.itemsize
            fits = min(self.tail[0], self._fitting(max(1, BLOCK_BYTES // (samples * width))))
            if len(self.rows) * fits * width > COLUMN_BYTES:
                fits = _even_part(fits, max(1, COLUMN_BYTES // (len(self.rows) * width)))
                samples = max(1, min(len(self.rows), BLOCK_BYTES // (fits * width)))
        lead = (*(() if self.one_row else (samples,)), *(1 for _ in self.layout.shape[1:-1]))
        return (*lead, fits, *self.tail[1:]) if self.tail else lead

    def _fitting(self, fits: int) -> int:
        """Give how many places of the first dim of the tensor go into a block: whole chunks, if it can be."""
        stored = self.layout.chunk[-1]
        return fits // stored * stored if len(self.tail) == 1 and fits > stored else fits


def _even_part(n: int, most: int) -> int:
    """Give the size of parts of at most `most` into which `n` is cut as evenly as can be."""
    return -(-n // -(-n // most))


def _even_blocks(n: int, size: int) -> Shape:
    """Cut a dim into blocks of a size, and a rest."""
    rest = (n % size,) if n % size or n == 0 else ()
    return (*(size,) * (n // size), *rest)


def _is_one(part: Any) -> bool:
    """Say whether a part of a key is a number, which leaves no dim."""
    return isinstance(part, int | np.integer)


def _cut_stretches(stretches: tuple[Stretch, ...], first: int, last: int) -> tuple[Stretch, ...]:
    """Leave out all but the columns from `first` to `last`, counted over all stretches."""
    kept: list[Stretch] = []
    place = 0
    for start, stop in stretches:
        low, high = max(start, start + first - place), min(stop, start + last - place)
        if low < high:
            kept.append((low, high))
        place += stop - start
    return tuple(kept)


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
            first.rows.tolist(),
            math.prod(layout.shape[1:]) * layout.dtype.itemsize,
        )


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
            chunks = each(self.store, self.chunk, range(first, -(-asked.stop // size)))
        empty = np.empty((0, *self.shape[1:]), self.dtype)
        values = np.concatenate(chunks or [empty])[asked.start - first * size : asked.stop - first * size]
        found: Values = take(values, (within(parts[0], asked), *parts[1:]))
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
        samples = max(1, min(self.n_rows, BLOCK_BYTES // 16 // row))
        return da.from_array(self, chunks=(samples, *self.shape[1:]), name=name, asarray=False)
