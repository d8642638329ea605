"""Shards, written directly to the Zarr v3 sharding specification and read by byte ranges.

A shard is its encoded chunks one after another, then an index of (offset, length) pairs of little-endian
64-bit integers in C order, then the crc32c of the index
(https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/). Writing it directly costs
about what the raw bytes in one file cost; any Zarr v3 reader reads the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.codecs import CHECKSUM_BYTES, checksum, verified
from tracekit.errors import DamagedTraceError
from tracekit.layout import ArrayLayout, Shape
from tracekit.store import Store

Values = npt.NDArray[Any]
INDEX_ENTRY_BYTES = 16


def encode_shard(layout: ArrayLayout, values: Values) -> bytes:
    """Encode what one shard holds of a row; `values` is as large as the shard, less at the array's edge."""
    parts: list[Any] = []
    index = np.empty((*layout.chunks_per_shard, 2), "<u8")
    offset = 0
    for place in np.ndindex(layout.chunks_per_shard):
        data, check = layout.codec.encoded(_chunk_of(layout, values, place))
        length = len(data) + len(check)
        index[place] = offset, length
        offset += length
        parts += data, check
    trailer = index.tobytes()
    return b"".join((*parts, trailer, checksum(trailer)))


def encode_row(layout: ArrayLayout, row: int, values: Values) -> Iterator[tuple[str, bytes]]:
    """Encode one row, dims ([middle,] element), as objects by key."""
    whole = np.ascontiguousarray(values, dtype=layout.dtype)[None]
    for index in layout.row_objects(row):
        block = tuple(
            slice(i * n, (i + 1) * n) for i, n in zip(index[1:], layout.object_shape[1:], strict=True)
        )
        yield layout.object_key(index), encode_shard(layout, whole[(slice(None), *block)])


@dataclass(frozen=True)
class Piece:
    """What is wanted of one chunk: its place in the shard, the part of it, and where that belongs."""

    place: Shape
    source: tuple[slice, ...]
    target: tuple[slice, ...]


def pieces_of(layout: ArrayLayout, wanted: tuple[slice, ...]) -> list[Piece]:
    """Give the pieces that make up a part of a shard, the same for every row.

    `wanted` is a slice of whole steps of 1 per dim, relative to the shard's corner.
    """
    grid = [range(w.start // c, -(-w.stop // c)) for w, c in zip(wanted, layout.chunk, strict=True)]
    return [Piece(place, *_overlap(layout.chunk, place, wanted)) for place in itertools.product(*grid)]


def read_shard(
    store: Store, layout: ArrayLayout, index: Shape, wanted: tuple[slice, ...], out: Values
) -> None:
    """Read a part of one shard into `out`, which has the shape of `wanted` (see `pieces_of`).

    Raises
    ------
    DamagedTraceError
        If the shard is missing, cut short, or a checksum fails.
    """
    read_pieces(store, layout, layout.object_key(index), pieces_of(layout, wanted), out)


def read_pieces(store: Store, layout: ArrayLayout, key: str, pieces: Sequence[Piece], out: Values) -> None:
    """Read pieces of one shard into `out`; see `read_shard`."""
    entries = read_index(store, layout, key)
    spans = [entries[piece.place].tolist() for piece in pieces]
    first, data = _read_span(store, key, spans)
    for piece, (offset, length) in zip(pieces, spans, strict=True):
        encoded = data[offset - first : offset - first + length]
        _decode_chunk(layout, encoded, piece, out, f"{store.url}/{key}, chunk {piece.place}")


def _chunk_of(layout: ArrayLayout, values: Values, place: Shape) -> Values:
    """Cut one chunk out, filled up to its full shape at the array's edge."""
    part = values[tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, layout.chunk, strict=True))]
    if part.shape == layout.chunk:
        return np.ascontiguousarray(part)
    padded = np.full(layout.chunk, layout.fill, layout.dtype)
    padded[tuple(slice(0, n) for n in part.shape)] = part
    return padded


def read_index(store: Store, layout: ArrayLayout, key: str) -> npt.NDArray[np.uint64]:
    """Read the index of a shard: offset and length of every chunk, dims (chunks along each dim…, 2).

    Raises
    ------
    DamagedTraceError
        If the shard is missing or cut short, or its index is damaged.
    """
    place = f"{store.url}/{key}"
    size = INDEX_ENTRY_BYTES * math.prod(layout.chunks_per_shard) + CHECKSUM_BYTES
    data = store.get_range(key, -size, size)
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


def _read_span(store: Store, key: str, spans: list[list[int]]) -> tuple[int, memoryview]:
    """Read from the first to the last wanted chunk at once: they lie one after another."""
    first = min(offset for offset, _ in spans)
    last = max(offset + length for offset, length in spans)
    return first, memoryview(store.get_range(key, first, last - first) or b"")


def _decode_chunk(layout: ArrayLayout, encoded: memoryview, piece: Piece, out: Values, where: str) -> None:
    """Decode one chunk, and copy what is wanted of it to where it belongs in `out`."""
    destination = out[piece.target]
    if destination.shape == layout.chunk and destination.flags.c_contiguous:
        layout.codec.decode_into(encoded, destination, where)
        return
    whole = np.empty(layout.chunk, layout.dtype)
    layout.codec.decode_into(encoded, whole, where)
    destination[...] = whole[piece.source]


def _overlap(
    chunk: Shape, place: Shape, wanted: tuple[slice, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Give the wanted part of a chunk, once relative to the chunk and once relative to `wanted`."""
    source, target = [], []
    for size, index, part in zip(chunk, place, wanted, strict=True):
        corner = index * size
        start, stop = max(part.start, corner), min(part.stop, corner + size)
        source.append(slice(start - corner, stop - corner))
        target.append(slice(start - part.start, stop - part.start))
    return tuple(source), tuple(target)
