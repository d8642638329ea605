"""Shards, written directly to the Zarr v3 sharding specification and read by byte ranges.

A shard is its encoded chunks one after another, then an index of (offset, length) pairs of little-endian
64-bit integers in C order, then the crc32c of the index
(https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/). Writing it directly costs
about what the raw bytes in one file cost; any Zarr v3 reader reads the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.errors import DamagedTraceError
from tracekit.format.codecs import CHECKSUM_BYTES, checksum, verified
from tracekit.format.layout import ArrayLayout, Shape
from tracekit.store import Buffer, SizedPieces, Store
from tracekit.store.objects import StoredObject

Values = npt.NDArray[Any]
INDEX_ENTRY_BYTES = 16


def encode_shard(layout: ArrayLayout, values: Values) -> Iterator[Buffer]:
    """Encode what one shard holds of a row, piece by piece: chunk, checksum, …, index, checksum of the index.

    `values` is as large as the shard, less at the array's edge.
    """
    index = np.empty((*layout.chunks_per_shard, 2), "<u8")
    offset = 0
    for place in np.ndindex(layout.chunks_per_shard):
        data, check = layout.codec.encoded(_chunk_of(layout, values, place))
        length = len(data) + len(check)
        index[place] = offset, length
        offset += length
        yield data
        yield check
    trailer = index.tobytes()
    yield trailer
    yield checksum(trailer)


@dataclass(frozen=True)
class Shard(SizedPieces):
    """What one shard holds of a row, encoded piece by piece each time that it is gone through."""

    layout: ArrayLayout
    values: Values

    @property
    def n_bytes(self) -> int | None:
        """All bytes; None if chunks are compressed."""
        layout, n_chunks = self.layout, math.prod(self.layout.chunks_per_shard)
        chunk_bytes = layout.codec.exact_bytes(math.prod(layout.chunk) * layout.dtype.itemsize)
        return chunk_bytes and n_chunks * (chunk_bytes + INDEX_ENTRY_BYTES) + CHECKSUM_BYTES

    def __iter__(self) -> Iterator[Buffer]:
        """Give the pieces."""
        return encode_shard(self.layout, self.values)


def encode_row(
    layout: ArrayLayout, row: int, values: Values, columns: range | None = None
) -> Iterator[tuple[str, Shard]]:
    """Encode one row, dims ([middle,] element), or some columns of it, as objects by key, each in pieces."""
    whole = np.ascontiguousarray(values, dtype=layout.dtype)[None]
    for index in layout.row_objects(row, columns):
        block = tuple(
            slice(i * n, (i + 1) * n) for i, n in zip(index[1:], layout.object_shape[1:], strict=True)
        )
        yield layout.object_key(index), Shard(layout, whole[(slice(None), *block)])


def write_row(
    store: Store, layout: ArrayLayout, row: int, values: Values, columns: range | None = None
) -> None:
    """Write one row, dims ([middle,] element), or the objects that begin in some columns of it.

    Beside the row, a few chunks at a time take memory.
    """
    for key, pieces in encode_row(layout, row, values, columns):
        store.put_pieces(key, pieces)


def _chunk_of(layout: ArrayLayout, values: Values, place: Shape) -> Values:
    """Cut one chunk out, filled up to its full shape at the array's edge."""
    part = values[tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, layout.chunk, strict=True))]
    if part.shape == layout.chunk:
        return np.ascontiguousarray(part)
    padded = np.full(layout.chunk, layout.fill, layout.dtype)
    padded[tuple(slice(0, n) for n in part.shape)] = part
    return padded


def read_index(shard: StoredObject, layout: ArrayLayout, place: str) -> npt.NDArray[np.uint64]:
    """Read the index of a shard: offset and length of every chunk, dims (chunks along each dim…, 2).

    Raises
    ------
    DamagedTraceError
        If the shard is missing or cut short, or its index is damaged; `place` says where.
    """
    size = INDEX_ENTRY_BYTES * math.prod(layout.chunks_per_shard) + CHECKSUM_BYTES
    data = shard.range(-size, size)
    if data is None:
        raise DamagedTraceError(
            f"{place}: missing, though the visit it belongs to was committed; restore it from a copy, "
            "or leave this visit out"
        )
    if len(data) != size:
        raise DamagedTraceError(f"{place}: cut short, {len(data)} bytes where the index alone takes {size}")
    body = verified(memoryview(data), f"{place}, index of the shard")
    entries = np.frombuffer(body, "<u8")
    _check_index(layout, entries.reshape(-1, 2), place)
    return entries.reshape(*layout.chunks_per_shard, 2)


def _check_index(layout: ArrayLayout, entries: npt.NDArray[np.uint64], place: str) -> None:
    """Chunks lie one after another from the start, each no longer than it can be."""
    offsets, lengths = entries.T
    most = layout.codec.most_bytes(math.prod(layout.chunk) * layout.dtype.itemsize)
    if (lengths > most).any() or offsets[0] != 0 or (offsets[1:] != np.cumsum(lengths)[:-1]).any():
        raise DamagedTraceError(
            f"{place}: the index of the shard says that its chunks are missing, overlap, or are longer than "
            f"{most} bytes"
        )
